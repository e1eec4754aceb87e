"""The operators of a float file that can be quantized one by one; see `kit.quantize.sensitivity`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ...kit.protocol.contract import Contract
from .operators import operators


def layers(path: Path, contract: Contract) -> dict[str, bool]:
    """Operators by the first of their names that is theirs alone, each with whether it has weights."""
    found = operators(path.read_bytes())
    counts = Counter(name for operator in found for name in operator.names)
    return {
        next((n for n in operator.names if counts[n] == 1), operator.names[0]): operator.weighted
        for operator in found
    }
