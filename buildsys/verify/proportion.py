"""How two sets of numbers are related: by a factor a row, nearly, or by nothing that is no chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TRIED = 4
"""Units in the last place of float32 that a factor may be off by."""
SINGLE = 2
"""Elements that may be altered where all others are bit by bit what they should be."""
ENOUGH = 8
"""Elements of a channel from which on they tell its factor."""


def telling(values: Array) -> bool:
    """Whether numbers are those of a weight, and could not be anyone's: zeros, ones, powers of two."""
    flat = np.asarray(values).reshape(-1)[: 2**16].astype(np.float64)
    odd = flat[np.isfinite(flat)]
    mantissa, _ = np.frexp(odd)
    odd = odd[(mantissa * 64) % 1 != 0]
    return len(np.unique(odd)) >= 2


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
    known = ~np.isnan(ratios).all(axis=1)
    if known.any():
        found[known] = np.nanmedian(ratios[known], axis=1)
    return found


def proportional(
    rows: Array, got: Array, coarse: float, factors: Array | None = None, part: float = 0.6
) -> bool:
    """Whether most elements of each row are one factor times those of the weight."""
    factors = factors_of(rows, got) if factors is None else factors
    expected = rows * factors[:, None]
    room = coarse * np.abs(expected).max(axis=1, keepdims=True)
    return bool((np.abs(got - expected) <= room).mean() >= part)


def exactly_scaled(rows: Array, got: Array, factors: Array) -> Array:
    """Which elements are a float32 product of the weight and one float32 factor a row.

    Converters multiply so; the factor's last bits are found by trying. Where that explains all but
    single elements of a tensor, these were altered; where it does not, a converter reckoned otherwise,
    and all are taken to be right.

    Args:
        rows: The weight in float32, [channels, n].
        got: What is stored, [channels, n].
        factors: What each channel was multiplied with, nearly.
    """
    best = np.zeros(rows.shape, bool)
    factor = factors.astype(np.float32)
    for steps in range(-TRIED, TRIED + 1):
        tried = (factor.view(np.int32) + steps).view(np.float32)
        same = rows * tried[:, None] == got
        better = same.sum(axis=1) > best.sum(axis=1)
        best[better] = same[better]
    if np.count_nonzero(~best) > SINGLE or rows.shape[1] < ENOUGH:
        best[:] = True
    return best
