"""Which elements of a quantized tensor share a scale, and which other scale their integers would be of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Stored
from buildsys.verify.weights.numbers.agreement import ARITHMETIC, CLIPPED, HALF, HALF_STEP

Array = NDArray[Any]

TELLING = 4
"""Elements from which on one scale for all of them is no chance."""
SHIFTS = (0, -1, 1)
"""How far from the zero point that a line through them has the right one may lie."""


@dataclass(frozen=True)
class Groups:
    """The elements of a quantized tensor, by the scale that they share.

    Attributes:
        labels: The number of each element's group, in the order of the flattened tensor.
        scale: The scale of each group.
        zero: Its zero point.
    """

    labels: Array
    scale: Array
    zero: Array

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.scale)

    @classmethod
    def of(cls, stored: Stored) -> Groups:
        """Those of a tensor: its elements, its channels, its blocks, or the one that it is as a whole.

        Scales of blocks are repeated for each element: where they change tells how long a block is.
        """
        assert stored.scale is not None
        shape = stored.values.shape
        zero = np.zeros(1) if stored.zero_point is None else stored.zero_point
        both = np.broadcast_arrays(stored.scale, zero)
        lacking = [1] * (len(shape) - both[0].ndim)
        scale, zero = (each.reshape([*lacking, *each.shape]) for each in both)
        labels = np.zeros(shape, np.int64)
        for axis, size in enumerate(shape):
            if scale.shape[axis] == 1:
                continue
            block = _block(scale, zero, axis)
            numbers = np.arange(size) // block
            wide = numbers.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            labels = labels * (int(numbers[-1]) + 1) + wide
            first = np.arange(0, size, block)
            scale, zero = scale.take(first, axis), zero.take(first, axis)
        return cls(labels.reshape(-1), scale.reshape(-1), zero.reshape(-1))

    def each(self, values: Array, how: np.ufunc) -> Array:
        """One number of each group: what `how` (`np.add`, `np.maximum`) makes of its elements'."""
        order, starts = self._order
        return np.asarray(how.reduceat(np.asarray(values).reshape(-1)[order], starts))

    @cached_property
    def _order(self) -> tuple[Array, Array]:
        """The elements, group after group, and where each group begins among them."""
        order = np.argsort(self.labels, kind="stable")
        return order, np.searchsorted(self.labels[order], np.arange(self.count))

    def fitting(self, stored: Stored, expected: Array, which: Array) -> tuple[Array, Array]:
        """The scales and zero points by which rounding makes their integers of what is expected.

        Where a tensor has no zero points, theirs is the one that it is. The scale is NaN where none fits,
        or where groups are too small to tell.

        Args:
            stored: The tensor.
            expected: What its elements should stand for, flattened.
            which: The numbers of the groups that are wanted.
        """
        kept = np.flatnonzero(np.isin(self.labels, which))
        inner = Groups(
            np.searchsorted(which, self.labels[kept]), self.scale[which], self.zero[which]
        )
        found, zeros = np.full(len(which), np.nan), np.zeros(len(which))
        whole = stored.values.reshape(-1).astype(np.float64)
        ends = whole.min(), whole.max()
        half = stored.scale is not None and stored.scale.dtype == np.float16
        own = inner._zeros(stored, whole[kept], expected[kept])
        # A scale may be negative: some quantizers give the farthest number the one integer more.
        for zero, sign in itertools.product(own, (1, -1)):
            least, most = inner._inverses(whole[kept], sign * expected[kept], zero, ends, half)
            with np.errstate(divide="ignore", invalid="ignore"):
                middle = sign * 2 / (least + most)
            known = np.isfinite(least) & np.isfinite(most)
            fits = np.isnan(found) & (least <= most) & (most > 0) & known
            found[fits], zeros[fits] = middle[fits], zero[fits]
        found[inner.each(np.ones(len(kept)), np.add) < TELLING] = np.nan
        return found, zeros

    def _zeros(self, stored: Stored, whole: Array, expected: Array) -> Iterator[Array]:
        """The zero points that groups may have: those that they have, and those of a line."""
        yield self.zero.astype(np.float64)
        if stored.zero_point is None:
            return
        count = self.each(np.ones(len(whole)), np.add)
        mean, level = (self.each(each, np.add) / count for each in (expected, whole))
        off = expected - mean[self.labels]
        spread = self.each(off * off, np.add)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = self.each(off * (whole - level[self.labels]), np.add) / spread
        line = np.nan_to_num(level - slope * mean)
        for shift in SHIFTS:
            yield np.rint(line) + shift

    def _inverses(
        self, whole: Array, expected: Array, zero: Array, ends: tuple[float, float], half: bool
    ) -> tuple[Array, Array]:
        """Between which numbers the inverse of each group's scale lies, for all its elements to fit.

        Args:
            whole: The stored integers.
            expected: What they should stand for.
            zero: The zero point of each group.
            ends: The least and the largest integer: what is beyond was cut off there.
            half: Whether scales were rounded to float16 after the integers were chosen.
        """
        steps = whole - zero[self.labels]
        room = HALF_STEP + ARITHMETIC + (HALF * (np.abs(steps) + np.abs(zero[self.labels])) * half)
        low = steps - np.where(whole == ends[0], CLIPPED, room)
        high = steps + np.where(whole == ends[1], CLIPPED, room)
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = low / expected, high / expected
        # What should be 0 says nothing of the scale, unless no scale makes it so.
        nothing = (low <= 0) & (high >= 0)
        least = np.where(expected == 0, np.where(nothing, -np.inf, np.inf), np.minimum(one, other))
        most = np.where(expected == 0, np.where(nothing, np.inf, -np.inf), np.maximum(one, other))
        return self.each(least, np.maximum), self.each(most, np.minimum)


def _block(scale: Array, zero: Array, axis: int) -> int:
    """How many elements along an axis have a scale in common."""
    others = tuple(i for i in range(scale.ndim) if i != axis)
    changes = (np.diff(scale, axis=axis) != 0) | (np.diff(zero, axis=axis) != 0)
    places = np.flatnonzero(changes.any(axis=others)) + 1
    return int(np.gcd.reduce(places)) if len(places) else scale.shape[axis]
