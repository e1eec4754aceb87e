"""Whether one real factor and one rounding to float32 make a row of numbers of another row.

A converter may reckon a channel's factor in float32, in float64 or in its own way: what it multiplies with is
one number, and what it stores are the nearest floats to the products. Each element leaves an interval for
the factor; where these have a point in common, all elements are explained, whatever the factor's bits are. An
element whose interval lies beside the point that most others have in common was made otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CHUNK = 2**20
"""Elements that are looked at together."""
FIRST = 64
"""Elements of a row that leave so little choice of its factor that most others fit it too."""
TURNS = 4
"""How often the factor is narrowed down by the elements that it does not make."""
WIDER = 2.0**-48
"""What float64 itself may be off by here, relative."""


def off(rows: Array, got: Array) -> tuple[Array, Array]:
    """Which elements are not the rounded product of the row's one factor, and that factor.

    Args:
        rows: What was multiplied, in float32, [channels, n].
        got: What is stored, in float32, [channels, n].

    Returns:
        Of each element whether it is off; of each row the factor that most elements have in common, in
        float64.
    """
    wrong = np.zeros(rows.shape, bool)
    factors = np.zeros(len(rows))
    step = max(1, CHUNK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        wrong[part], factors[part] = _off(rows[part], got[part])
    return wrong, factors


def _off(rows: Array, got: Array) -> tuple[Array, Array]:
    wrong = np.zeros(rows.shape, bool)
    factors, left = _common(rows, got)
    if len(left):
        wrong[left], factors[left] = _off_in_full(rows[left], got[left])
    return wrong, factors


def _common(rows: Array, got: Array) -> tuple[Array, Array]:
    """The factor that makes all elements of a row, and the rows for which none was found.

    A few elements leave an interval for it. Only those that its middle does not make narrow it further, so
    that most elements cost a product and no interval of their own.
    """
    few = slice(None, None, max(1, rows.shape[1] // FIRST))
    low, high = _intervals(rows[:, few], got[:, few])
    least, most = low.max(axis=1), high.min(axis=1)
    factors, left = np.zeros(len(rows)), np.arange(len(rows))
    failed = np.zeros(len(rows), bool)
    with np.errstate(invalid="ignore", over="ignore"):
        for _ in range(TURNS):
            failed[left] = ~(least[left] <= most[left])
            left = left[~failed[left]]
            factors[left] = least[left] / 2 + most[left] / 2
            exact = rows[left].astype(np.float64) * factors[left, None]
            which, place = np.nonzero(exact.astype(np.float32) != got[left])
            off = left[which]
            low, high = _intervals(rows[off, place], got[off, place])
            np.maximum.at(least, off, low)
            np.minimum.at(most, off, high)
            left = np.unique(off)
            if not len(left):
                break
    failed[left] = True
    return factors, np.flatnonzero(failed)


def _off_in_full(rows: Array, got: Array) -> tuple[Array, Array]:
    low, high = _intervals(rows, got)
    with np.errstate(invalid="ignore", over="ignore"):
        least, most = low.max(axis=1), high.min(axis=1)
        factors = least / 2 + most / 2
        for row in np.flatnonzero(~(least <= most)):
            factors[row] = _commonest(low[row], high[row])
        point = factors[:, None]
        return ~((low <= point) & (point <= high)), factors


def _intervals(rows: Array, got: Array) -> tuple[Array, Array]:
    """Between which factors each element's product rounds to what is stored."""
    single = got.astype(np.float32)
    exact = single.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        below = (exact + np.nextafter(single, np.float32(-np.inf)).astype(np.float64)) / 2
        above = (exact + np.nextafter(single, np.float32(np.inf)).astype(np.float64)) / 2
        weight = rows.astype(np.float64)
        one, other = below / weight, above / weight
        low, high = np.minimum(one, other), np.maximum(one, other)
        low -= np.abs(low) * WIDER
        high += np.abs(high) * WIDER
    # What is multiplied with zero says nothing of the factor; and nothing else makes what is not zero of it.
    nothing = weight == 0
    free, never = nothing & (exact == 0), nothing & (exact != 0)
    low = np.where(free, -np.finfo(np.float64).max, np.where(never, np.nan, low))
    high = np.where(free, np.finfo(np.float64).max, np.where(never, np.nan, high))
    return low, high


def _commonest(low: Array, high: Array) -> float:
    """A point that most intervals have in common."""
    known = np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return 0.0
    starts, ends = np.sort(low[known]), np.sort(high[known])
    inside = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, side="left")
    best = int(inside.argmax())
    start = starts[best]
    end = ends[np.searchsorted(ends, start, side="left")]
    return float((start + end) / 2)
