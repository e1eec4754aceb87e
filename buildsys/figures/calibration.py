"""How ranges of activations were taken, in short; `ranges.json` has all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """How ranges of activations were taken.

    Attributes:
        method: The recipe's word for it.
        runs: From how many runs of the model.
        tried: Where several methods were tried, the error of each on held-out data.
        tensors: How many tensors have ranges.
        ranges: The digest of the file with all ranges, in the store.
    """

    method: str
    runs: int
    tried: Mapping[str, float | None] | None
    tensors: int
    ranges: str
