"""Scales and zero points that are not those which a tensor's integers were made with.

An integer says by itself nearly what it was multiplied with: of all the scales by which rounding gives
the integers of a channel or a block, those that are left lie within a thousandth of each other. Where the
stored one is none of these and another one is, that was changed, or exchanged with a neighbour's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Stored
from buildsys.verify.weights.match import ALTERED, Match
from buildsys.verify.weights.numbers.agreement import agrees
from buildsys.verify.weights.numbers.axis_orders import orders, picked, spread
from buildsys.verify.weights.numbers.fingerprints import rounded
from buildsys.verify.weights.numbers.scale_groups import Groups

Array = NDArray[Any]

SAMPLE = 509
"""Elements that tell which weight it may be."""
LIKELY = 0.5
"""The correlation with a weight from which on it may be that one: scales are wrong, integers are not."""
MOST = 0.5
"""The part of all scales that may be wrong where a factor might have been folded into the others."""
SHOWN = 8
NEAR = {"bfloat16": 1.05 * 2.0**-7, "float16": 1.05 * 2.0**-10, "float32": 1e-4}
"""How far a scale may be from what the range of its numbers says, relative, by what it was rounded to."""
COMMON = 0.5
"""The part of all scales that one rule has to give for it to be the quantizer's."""


class Scales:
    """The weights that quantized tensors were made of.

    Args:
        weights: Their numbers by name.
        exact: Whether these are the very numbers that were quantized: nothing was folded into them since.
    """

    def __init__(self, weights: Mapping[str, Array], *, exact: bool) -> None:
        self._exact = exact
        self._sizes: dict[int, list[tuple[str, Array]]] = {}
        for name, values in weights.items():
            self._sizes.setdefault(values.size, []).append((name, values))

    def changed(self, stored: Stored) -> Match | None:
        """A tensor that other scales would make a weight of, or `None`.

        Groups that are right as they are have to be there, unless nothing can have been folded: a
        converter that multiplies a weight by a constant gives the same integers with another scale.
        """
        groups = Groups.of(stored)
        for name, expected in self._likely(stored):
            right = agrees(stored, slice(None), expected)
            wrong = np.flatnonzero(groups.each(~right, np.logical_or))
            if not len(wrong) or (not self._exact and len(wrong) > MOST * groups.count):
                continue
            scale, zero = groups.fitting(stored, expected, wrong)
            if np.isfinite(scale).all():
                return _altered(name, stored, expected, groups, wrong, scale, zero)
        return None

    def exchanged(self, stored: Stored) -> Match | None:
        """A tensor with scales that stand in each other's place, too much alike for integers to tell.

        Most quantizers' scales are their ranges, divided by one number: what breaks that rule for some
        groups, and keeps it once these change places, is no other quantizer.
        """
        if not self._exact:
            return None
        groups = Groups.of(stored)
        near = NEAR[_precision(groups.scale)]
        for name, expected in self._likely(stored):
            if not agrees(stored, slice(None), expected).all():
                continue
            for ranges in _ranges(groups, expected):
                wanted = _by_rule(ranges, np.abs(groups.scale), near)
                if wanted is None:
                    continue
                off = np.abs(wanted / np.abs(groups.scale) - 1)
                wrong = np.flatnonzero((off > near) & (ranges > 0))
                moved = np.sort(wanted[wrong]), np.sort(np.abs(groups.scale[wrong]))
                if len(wrong) > 1 and (np.abs(moved[0] / moved[1] - 1) <= near).all():
                    scale = wanted[wrong] * np.sign(groups.scale[wrong])
                    zero = groups.zero[wrong]
                    return _altered(name, stored, expected, groups, wrong, scale, zero)
            return None
        return None

    def _likely(self, stored: Stored) -> Iterator[tuple[str, Array]]:
        """The weights that it may be, flattened in its order, the likeliest first."""
        size = stored.values.size
        places = spread(size, SAMPLE)
        mine = stored.decoded.reshape(-1)[places].astype(np.float64)
        found: list[tuple[float, int, str, Array, tuple[int, ...]]] = []
        for name, values in self._sizes.get(size, ()):
            for order in orders(values.shape, stored.values.shape):
                theirs = picked(values, order, places).astype(np.float64)
                likeness = _likeness(mine, theirs)
                if likeness >= LIKELY:
                    found.append((-likeness, len(found), name, values, order))
        for _, _, name, values, order in sorted(found, key=lambda each: each[:2]):
            yield name, values.transpose(order).reshape(-1).astype(np.float64)


def _likeness(mine: Array, theirs: Array) -> float:
    """The correlation of numbers or of their sizes: a scale may have the wrong sign."""
    sizes = [np.abs(each) - np.abs(each).mean() for each in (mine, theirs)]
    found = 0.0
    for one, other in ((mine, theirs), sizes):
        both = np.linalg.norm(one) * np.linalg.norm(other)
        found = max(found, float(one @ other / both) if both else 0.0)
    return found


def _precision(scale: Array) -> str:
    """The coarsest type that has all of the numbers: LiteRT's blocks have those of bfloat16 in float16."""
    return next(
        (kind for kind in ("bfloat16", "float16") if np.array_equal(rounded(scale, kind), scale)),
        "float32",
    )


def _ranges(groups: Groups, expected: Array) -> Iterator[Array]:
    """What a group's scale may be in proportion to: around zero, with zero, and without."""
    yield groups.each(np.abs(expected), np.maximum)
    high, low = groups.each(expected, np.maximum), groups.each(expected, np.minimum)
    yield np.maximum(high, 0) - np.minimum(low, 0)
    yield high - low


def _by_rule(ranges: Array, scale: Array, near: float) -> Array | None:
    """The scales that ranges give, as they do most of those there are; `None` where there is no rule."""
    known = (ranges > 0) & (scale > 0)
    if known.sum() <= 2 or not known.all():
        return None
    levels = ranges / scale
    middle = float(np.median(levels))
    common = np.abs(levels / middle - 1) <= near
    return ranges / middle if common.mean() > COMMON else None


def _altered(
    name: str,
    stored: Stored,
    expected: Array,
    groups: Groups,
    wrong: Array,
    scale: Array,
    zero: Array,
) -> Match:
    """What is said of the groups `wrong`, whose integers are of these scales and zero points."""
    off = np.abs(stored.decoded.reshape(-1) - expected)
    worst = []
    for number in wrong[:SHOWN]:
        inside = np.flatnonzero(groups.labels == number)
        worst.append(int(inside[np.argmax(off[inside])]))
    first = int(np.flatnonzero(groups.labels == wrong[0])[0])
    index = [int(i) for i in np.unravel_index(first, stored.values.shape)]
    shifted = groups.zero[wrong[0]] != zero[0]
    what, is_, should = (
        ("zero point", f"{groups.zero[wrong[0]]:.0f}", f"{zero[0]:.0f}")
        if shifted
        else ("scale", f"{groups.scale[wrong[0]]:.6g}", f"{scale[0]:.6g}")
    )
    why = (
        f"its integers are of a {what} of {should}, and it says {is_}"
        if groups.count == 1
        else f"{len(wrong)} of its {groups.count} {what}s {'does' if len(wrong) == 1 else 'do'} not "
        f"fit the integers: from {index} on it is {is_} in place of {should}"
    )
    count = int(np.isin(groups.labels, wrong).sum())
    return Match(ALTERED, (name,), worst, [float(expected[place]) for place in worst], count, why)
