"""Ranges of activations that leave out what is rare, by the values that were seen.

The recipe's words for it mean the same in all formats that take ranges from here. The words are those of
`buildsys.quantization.METHODS`; `min-max` and `moving-average` need no histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENT = 99.99
"""The part of the values that `percentile` keeps where the recipe does not say."""
HALF = 2048
"""Bins on each side of zero."""
LEVELS = 128
"""How many numbers `entropy` tells apart on each side of zero; TensorRT's choice for eight bits."""
CANDIDATES = 240
"""How many thresholds `entropy` tries."""
ROUNDS = 8
"""How often `mse` moves each end; few models need three."""

Range = tuple[float, float]


@dataclass
class Histogram:
    """The values of one tensor over all runs, in bins as wide above zero as below.

    Attributes:
        low: The least value.
        high: The greatest value.
        counts: `[2 * HALF]`: how many values are in each bin.
        zeros: How many are exactly zero.
    """

    low: float
    high: float
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * HALF, np.int64))
    zeros: int = 0

    @property
    def reach(self) -> float:
        """The greatest magnitude."""
        return max(abs(self.low), abs(self.high))

    def add(self, values: NDArray[Any]) -> None:
        """Counts values; what is not finite, or beyond the range, counts as nothing."""
        reach = self.reach
        if reach == 0.0:
            return
        flat = values.reshape(-1).astype(np.float64)
        self.counts += np.histogram(flat, bins=2 * HALF, range=(-reach, reach))[0]
        self.zeros += int((flat == 0.0).sum())

    def within(self, low: float, high: float) -> Range:
        """A range cut to what was seen; one that all of it lies beyond, to the end that is next to it."""
        return min(max(low, self.low), high), max(min(high, self.high), low)


@dataclass(frozen=True)
class Wanted:
    """What a range is for; see `clipped`."""

    percent: float
    bits: int
    symmetric: bool


def clipped(
    seen: Histogram, method: str, percent: float = PERCENT, bits: int = 8, symmetric: bool = False
) -> Range:
    """The range that a method takes.

    Args:
        seen: The values.
        method: One of `CLIPPING`.
        percent: What `percentile` keeps.
        bits: The width of activations.
        symmetric: Whether the range will be widened to one around zero.
    """
    if seen.reach == 0.0 or not seen.counts.any():
        return seen.low, seen.high
    return CLIPPING[method](seen, Wanted(percent, bits, symmetric))


def _edges(seen: Histogram) -> NDArray[np.float64]:
    return np.linspace(-seen.reach, seen.reach, 2 * HALF + 1)


def _percentile(seen: Histogram, wanted: Wanted) -> Range:
    """As many values are cut off below as above, as onnxruntime's calibrator does it."""
    cut = seen.counts.sum() * (100.0 - wanted.percent) / 200.0
    edges = _edges(seen)
    below = np.cumsum(seen.counts)
    above = np.cumsum(seen.counts[::-1])
    low = edges[int(np.searchsorted(below, cut, side="right"))]
    high = edges[::-1][int(np.searchsorted(above, cut, side="right"))]
    return seen.within(float(low), float(high))


def _entropy(seen: Histogram, wanted: Wanted) -> Range:
    """The magnitude at which cutting loses the least information (Kullback and Leibler's divergence).

    After Migacz, "8-bit inference with TensorRT" (GTC 2017). With 16 bits there is nothing to lose
    within the range, so that all is kept.
    """
    if wanted.bits > 8:
        return seen.low, seen.high
    sizes = (seen.counts[HALF:] + seen.counts[HALF - 1 :: -1]).astype(np.float64)
    # Zeros are numbers of their own in any case: they say nothing of where to cut.
    sizes[0] = max(0.0, sizes[0] - seen.zeros)
    best, kept = np.inf, HALF
    for stop in np.unique(np.linspace(LEVELS, HALF, CANDIDATES).astype(int))[::-1]:
        loss = _divergence(sizes, int(stop))
        if loss < best:  # Of equal ones the widest.
            best, kept = loss, int(stop)
    threshold = seen.reach * kept / HALF
    return seen.within(-threshold, threshold)


def _divergence(sizes: NDArray[np.float64], stop: int) -> float:
    inside = sizes[:stop]
    total = sizes.sum()
    if not inside.any():
        return np.inf
    wanted = inside.copy()
    wanted[-1] += sizes[stop:].sum()
    groups = np.arange(stop) * LEVELS // stop
    filled = inside > 0
    sums = np.bincount(groups, inside, LEVELS)
    members = np.bincount(groups, filled, LEVELS)
    spread = np.where(filled, (sums / np.maximum(members, 1))[groups], 0.0)
    p = wanted / total
    # What is cut off falls where the coarse distribution may have nothing: smoothed, as usual.
    q = np.maximum(spread / spread.sum(), 1e-12)
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def _least_squares(seen: Histogram, wanted: Wanted) -> Range:
    """The range with the least squared error: of rounding within, of cutting off beyond.

    Rounding errs by step^2 / 12 a value (Widrow), and by nothing where a value is exactly zero, which
    every range has a number for. Each end is moved in turn until neither moves.
    """
    edges = _edges(seen)
    centres = (edges[1:] + edges[:-1]) / 2
    n, first, second = (
        np.concatenate([[0.0], np.cumsum(seen.counts * centres**power)]) for power in (0, 1, 2)
    )
    steps = 2.0**wanted.bits - 1

    def error(low: Any, high: Any) -> Any:
        """Of ranges given as numbers of edges."""
        bottom, top = edges[low], edges[high]
        step = (2 * np.maximum(-bottom, top) if wanted.symmetric else top - bottom) / steps
        inside = np.maximum(n[high] - n[low] - seen.zeros, 0)
        beyond = second[-1] - second[high] - 2 * top * (first[-1] - first[high])
        beyond = beyond + top**2 * (n[-1] - n[high])
        before = second[low] - 2 * bottom * first[low] + bottom**2 * n[low]
        return inside * step**2 / 12 + np.maximum(beyond, 0) + np.maximum(before, 0)

    if wanted.symmetric:
        sizes = np.arange(HALF, 0, -1)
        kept = int(sizes[np.argmin(error(HALF - sizes, HALF + sizes))])
        return seen.within(float(edges[HALF - kept]), float(edges[HALF + kept]))
    # Zero stays within.
    below, above = np.arange(HALF + 1), np.arange(2 * HALF, HALF - 1, -1)
    filled = np.flatnonzero(seen.counts)
    low = min(int(filled[0]), HALF)
    high = max(int(filled[-1]) + 1, HALF)
    for _ in range(ROUNDS):
        before = (low, high)
        high = int(above[np.argmin(np.where(above > low, error(low, above), np.inf))])
        low = int(below[np.argmin(np.where(below < high, error(below, high), np.inf))])
        if (low, high) == before:
            break
    return seen.within(float(edges[low]), float(edges[high]))


CLIPPING: Mapping[str, Callable[[Histogram, Wanted], Range]] = {
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": _least_squares,
}
"""By the recipe's word."""
METHODS = ("min-max", "moving-average", *CLIPPING)
"""All of the recipe's words, that which clips nothing first. None is always the best."""
