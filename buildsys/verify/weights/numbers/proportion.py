"""How two sets of numbers are related: by a factor a row, nearly, or by nothing that is no chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TOLD_BY = (64, 2**16)
"""Elements that are looked at: few first, which tell most weights."""


def telling(values: Array) -> bool:
    """Whether numbers are those of a weight, and could not be anyone's: zeros, ones, powers of two."""
    flat = np.asarray(values).reshape(-1)
    return any(_odd(flat[:many]) >= 2 for many in TOLD_BY)


def _odd(values: Array) -> int:
    """How many different numbers there are that are no small multiples of a power of two."""
    flat = values.astype(np.float64)
    odd = flat[np.isfinite(flat)]
    mantissa, _ = np.frexp(odd)
    return len(np.unique(odd[(mantissa * 64) % 1 != 0]))


def distance(values: Array, expected: Array) -> float:
    """The distance relative to how much the expected numbers vary; infinite where they do not."""
    spread = float(np.linalg.norm(expected - expected.mean()))
    if not spread or not np.isfinite(values).all():
        return float("inf")
    return float(np.linalg.norm(values - expected)) / spread


def factors_of(rows: Array, got: Array) -> Array:
    """What each row of a weight was multiplied with: the median over its larger elements."""
    large = np.abs(rows) >= 0.1 * np.abs(rows).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(large & (rows != 0), got / rows, np.nan)
    found = np.ones(len(rows))
    for place, row in enumerate(ratios):  # `np.nanmedian` takes four times as long for long rows.
        known = row[~np.isnan(row)]
        if len(known):
            middle = [(len(known) - 1) // 2, len(known) // 2]
            found[place] = np.partition(known, middle)[middle].mean()
    return found


def proportional(
    rows: Array,
    got: Array,
    coarse: float,
    factors: Array | None = None,
    part: float = 0.6,
    least: float = 0.0,
) -> bool:
    """Whether most elements of each row are one factor times those of the weight.

    Args:
        rows: The weight's, [channels, n].
        got: What is stored, of the same shape.
        coarse: How far rounding may have taken an element, relative to the largest of its row.
        factors: One a row, where they are known.
        part: How many elements make most of them.
        least: How far rounding may have taken an element in any case.
    """
    factors = factors_of(rows, got) if factors is None else factors
    expected = rows * factors[:, None]
    room = np.maximum(coarse * np.abs(expected).max(axis=1, keepdims=True), least)
    return bool((np.abs(got - expected) <= room).mean() >= part)
