"""How much of a package is really compressed, against what was asked for.

coremltools passes over weights in silence: where channels do not divide a block, where a percentile is
NaN. So the saved package is looked at, each weight as it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...kit.inspect.stored_weights import Stored
from ...kit.protocol.contract import Contract
from .. import stored_weights
from ..package import largest
from .compression import WEIGHT_THRESHOLD, before

LAYERS = ("conv", "conv_transpose", "einsum", "gather", "gru", "linear", "lstm", "matmul", "rnn")
"""What weights of are expected to be compressed; other constants may be."""
SHOWN = 4
"""Names in one message."""
FLOATS = ("float16", "float32", "float64")
PERCENTILES = 65536
"""Of more float16 elements numpy 2's percentiles are NaN, which no magnitude is below."""
_ADDED = re.compile("(_sparsified|_palettized|_quantized)+$")
"""What coremltools writes after the name of a weight that it compresses."""


@dataclass(frozen=True)
class Dense:
    """A weight with fewer zeros than were asked for.

    Attributes:
        name: The weight's, as `keep_float` takes it.
        size: Its elements.
        zeros: How many of them are zero.
        half: Whether it is in float16.
    """

    name: str
    size: int
    zeros: int
    half: bool

    def __str__(self) -> str:
        return f"`{self.name}` has {self.zeros:,} zeros among {self.size:,}"

    @property
    def overflowed(self) -> bool:
        """Whether coremltools' own pruning leaves such a weight alone."""
        return self.half and self.size > PERCENTILES


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
        dense: Weights with fewer zeros than were asked for.
        sparsity: The part of each weight that was to be zero.
    """

    total: int
    compressed: int
    zeros: int
    levels: int
    floats: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, int], ...]
    dense: tuple[Dense, ...]
    sparsity: float = 0.0

    def shortfall(self) -> str | None:
        """What is missing without anybody having asked for that."""
        if self.skipped:
            return f"coremltools left weights as they are: {largest(list(self.skipped))}"
        if self.dense:
            return self._unpruned()
        return None

    def _unpruned(self) -> str:
        ranked = sorted(self.dense, key=lambda weight: (-weight.size, weight.name))
        more = len(ranked) - SHOWN
        said = (
            f"`sparsity: {self.sparsity:g}` was asked for, but "
            + ", ".join(str(weight) for weight in ranked[:SHOWN])
            + (f" and {more} more have too few" if more > 0 else "")
        )
        if not any(weight.overflowed for weight in ranked):
            return said
        return (
            f"{said}; coremltools leaves weights of more than {PERCENTILES:,} float16 numbers as they "
            "are and says nothing: numpy 2 gives their percentiles as NaN"
        )


def audit(
    package: Path, contract: Contract, wanted: Mapping[str, Any], kept: Sequence[str] = ()
) -> Audit:
    """Looks at each weight of a saved package.

    Args:
        package: The `.mlpackage`.
        contract: Its io contract.
        wanted: The profile.
        kept: Names of weights that are no part of the profile.
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
        if before(weight.name) in kept:  # Another profile's.
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
            half = values.dtype == np.float16
            dense.append(Dense(_ADDED.sub("", weight.name), size, none, half))
    return Audit(
        total, compressed, zeros, levels, tuple(floats), tuple(skipped), tuple(dense), sparsity
    )


def _is_due(weight: Stored) -> bool:
    """Whether a weight is one that is compressed wherever anything is."""
    reads = any(reader.partition(" ")[0] in LAYERS for reader in weight.readers)
    return reads and weight.values.ndim > 1 and weight.values.size > WEIGHT_THRESHOLD
