"""How much of a package is really compressed, against what was asked for.

coremltools passes over weights in silence: where channels do not divide a block, where a percentile is
NaN. So the saved package is looked at, each weight as it is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.contract import Contract
from ..kit.stored_weights import Stored
from . import stored_weights
from .compression import WEIGHT_THRESHOLD
from .package import largest

LAYERS = ("conv", "conv_transpose", "einsum", "gather", "gru", "linear", "lstm", "matmul", "rnn")
"""What weights of are expected to be compressed; other constants may be."""
FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Audit:
    """What a package holds.

    Attributes:
        total: Elements of all weights.
        compressed: Elements of those that are not stored as plain floats.
        zeros: Zeros among the latter.
        levels: The most different numbers that a weight has where palettes are asked for, zeros of
            pruned ones left out; of all its palettes together, where it has several.
        floats: Name and size of what is stored as plain floats.
        skipped: Those of them that were to be compressed.
        dense: Name and size of weights with fewer zeros than were asked for.
    """

    total: int
    compressed: int
    zeros: int
    levels: int
    floats: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, int], ...]
    dense: tuple[tuple[str, int], ...]

    def shortfall(self) -> str | None:
        """What is missing without anybody having asked for that."""
        if self.skipped:
            return f"coremltools left weights as they are: {largest(list(self.skipped))}"
        if self.dense:
            return f"weights have fewer zeros than asked for: {largest(list(self.dense))}"
        return None


def audit(
    package: Path, contract: Contract, wanted: Mapping[str, Any], kept: Sequence[str] = ()
) -> Audit:
    """Looks at each weight of a saved package.

    Args:
        package: The `.mlpackage`.
        contract: Its io contract.
        wanted: The profile.
        kept: Names of weights that `keep_float` keeps.
    """
    found = list(stored_weights.read(package, contract))
    sparsity = wanted.get("sparsity") or 0.0
    total = compressed = zeros = levels = 0
    floats, skipped, dense = [], [], []
    for weight in found:
        size = int(weight.values.size)
        total += size
        due = _is_due(weight) and weight.name not in kept
        if weight.storage in FLOATS:
            floats.append((weight.name, size))
            if due:
                skipped.append((weight.name, size))
            continue
        compressed += size
        values = weight.decoded
        none = int(np.count_nonzero(values == 0))
        zeros += none
        if wanted.get("palette"):
            # numpy sorts float16 wrongly on some processors.
            distinct = len(np.unique(values.astype(np.float32)))
            levels = max(levels, distinct - (1 if sparsity and none else 0))
        if none < np.floor(sparsity * size):
            dense.append((weight.name, size))
    return Audit(total, compressed, zeros, levels, tuple(floats), tuple(skipped), tuple(dense))


def _is_due(weight: Stored) -> bool:
    """Whether a weight is one that is compressed wherever anything is."""
    reads = any(reader.partition(" ")[0] in LAYERS for reader in weight.readers)
    return reads and weight.values.ndim > 1 and weight.values.size > WEIGHT_THRESHOLD
