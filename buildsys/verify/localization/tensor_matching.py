"""Which tensor of the original a tensor of an artifact is, by what is in it.

Converters rename values, fold some and split others, and put axes into other orders. What they may not
change is the numbers. So two tensors are the same where they hold as many elements with the same
values, in any order of axes; names and weights decide only between tensors that hold the same.

Errors of intermediate tensors are relative to how much the original's elements differ from each other:
‖a - r‖ / ‖r - mean of r‖, all runs and elements together. (Outputs have their own measure, over the
samples; two runs are too few for that.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MOST_AXES = 5
"""Orders of more axes are not tried: there are 720 of six."""

COMPARED = 2
"""So many orders of axes are compared whole, the likeliest first."""

TASTED = 128
"""Elements by which an order of axes is tried before all are compared."""


BEYOND = 1e30
"""Numbers of such a size stand for infinity: masks are made of the least number that there is, and next
to it no error of what they leave could be seen."""


GAP = (50.0, 500.0)
"""Likewise elements beyond so many medians, where no others are near: -10,000 added to what a mask hides."""


@dataclass(frozen=True)
class Tensor:
    """A value over all runs, with what is looked at first.

    Attributes:
        name: Its name.
        array: [runs, ...] as it is.
        size: Elements a run.
        shape: Of a run, without axes of size 1.
        mean: Of its finite elements.
        spread: The root mean square of the finite elements minus `mean`; the size of `mean` where
            all are equal, and 1 where they are all zero.
        absolute: The mean of their absolute values.
        strays: How many elements are not finite.
        beyond: How many are not finite, or stand for infinity.
        cutoff: From which size on elements stand for infinity.
        floating: Whether it is of a floating type.
        steady: Whether it is the same in every run.
    """

    name: str
    array: NDArray[np.generic]
    size: int
    shape: tuple[int, ...]
    mean: float
    spread: float
    absolute: float
    strays: int
    beyond: int
    cutoff: float
    floating: bool
    steady: bool

    @classmethod
    def of(cls, name: str, array: NDArray[np.generic]) -> Tensor:
        """Looks at an array [runs, ...]."""
        values = array.astype(np.float64)
        cutoff = _cutoff(np.abs(values))
        finite = np.abs(values) < cutoff
        kept = values[finite]
        mean = float(kept.mean()) if kept.size else 0.0
        varying = math.sqrt(float(np.square(kept - mean).mean())) if kept.size else 0.0
        floating = array.dtype.kind == "f"
        # What varies by rounding alone is constant.
        grain = 1e-6 * abs(mean)
        return cls(
            name,
            array,
            int(np.prod(array.shape[1:])),
            tuple(n for n in array.shape[1:] if n != 1),
            mean,
            varying if varying > grain else abs(mean) or 1.0,
            float(np.abs(kept).mean()) if kept.size else 0.0,
            int(array.size - np.isfinite(values).sum()),
            int(array.size - kept.size),
            cutoff,
            floating,
            bool((array == array[:1]).all()) and len(array) > 1,
        )

    @property
    def finite(self) -> bool:
        """Whether all elements are."""
        return not self.strays

    @property
    def largest(self) -> float:
        """The largest magnitude of a finite element."""
        values = np.abs(self.array.astype(np.float64))
        return float(values[np.isfinite(values)].max(initial=0.0))


@dataclass(frozen=True)
class Match:
    """A tensor of the original that an artifact's tensor is.

    Attributes:
        name: The original's tensor.
        error: How far they lie apart; infinite where one is not finite and the other is.
        moved: Whether its axes are in another order.
    """

    name: str
    error: float
    moved: bool


class Matcher:
    """Finds tensors of the original.

    Args:
        reference: The original's tensors.
        accepted: The largest error at which two tensors may still be the same.
    """

    def __init__(self, reference: Mapping[str, Tensor], accepted: float) -> None:
        self._accepted = accepted
        self._by_size: dict[int, list[Tensor]] = {}
        for tensor in reference.values():
            self._by_size.setdefault(tensor.size, []).append(tensor)

    def matches(self, tensor: Tensor) -> list[Match]:
        """All tensors of the original that it may be, the nearest first, else in their order."""
        if not tensor.size:
            return []
        found = []
        for other in self._by_size.get(tensor.size, ()):
            if _apart(tensor, other, self._accepted):
                continue
            match = compare(tensor, other, self._accepted)
            if match is not None and match.error <= self._accepted:
                found.append(match)
        if not found:
            return []
        # Errors that differ by rounding alone do not: the order of the original decides.
        least = min(match.error for match in found)
        near = [m for m in found if m.error <= 4 * least + 1e-6 and not m.moved]
        near += [m for m in found if m.error <= 4 * least + 1e-6 and m.moved]
        return near + [m for m in found if m not in near]

    def of_size(self, size: int) -> Sequence[Tensor]:
        """All tensors of the original with so many elements."""
        return self._by_size.get(size, ())


def compare(tensor: Tensor, other: Tensor, accepted: float) -> Match | None:
    """Compares with a tensor of as many elements, in the order of axes that fits best.

    Args:
        tensor: The artifact's.
        other: The original's.
        accepted: Orders of axes are tried until one gives no larger error.

    Returns:
        `None` where the numbers of runs or elements differ.
    """
    if tensor.size != other.size or len(tensor.array) != len(other.array):
        return None
    runs = len(tensor.array)
    mine = tensor.array.reshape(runs, -1)
    theirs = other.array.reshape(runs, -1)
    least, moved = error(mine, theirs, other.spread, other.cutoff), False
    if least <= accepted or (len(tensor.shape) < 2 and len(other.shape) < 2):
        return Match(other.name, least, moved)
    tasted = []
    for number, (left, right) in enumerate(_orders(tensor, other)):
        taste = _taste(left, right, other.spread)
        if taste <= 3 * accepted:
            tasted.append((taste, number, left, right))
    for _, _, left, right in sorted(tasted, key=lambda t: t[:2])[:COMPARED]:
        turned = left.reshape(runs, -1), right.reshape(runs, -1)
        now = error(*turned, other.spread, other.cutoff)
        if now < least:
            least, moved = now, True
        if least <= accepted:
            break
    return Match(other.name, least, moved)


def error(
    mine: NDArray[np.generic],
    theirs: NDArray[np.generic],
    spread: float,
    cutoff: float = BEYOND,
) -> float:
    """‖mine - theirs‖ / (√n · spread); what stands for infinity must do so on both sides.

    Args:
        mine: The artifact's, of any type.
        theirs: The original's, of the same shape.
        spread: How much the original's elements differ from each other.
        cutoff: From which size on they stand for infinity; below `BEYOND` both must be finite.
    """
    a, r = mine.astype(np.float64), theirs.astype(np.float64)
    both = (np.abs(a) < cutoff) & (np.abs(r) < cutoff)
    if not both.all():
        far = (np.abs(a) >= cutoff) & (np.abs(r) >= cutoff) & (np.sign(a) == np.sign(r))
        # A finite number that overflowed is none of those that are meant to be out of the way.
        far &= (np.isfinite(a) & np.isfinite(r)) | (np.abs(r) >= BEYOND)
        if not (far | (np.isnan(a) & np.isnan(r)))[~both].all():
            return math.inf
        a, r = a[both], r[both]
    if not a.size:
        return 0.0
    scale = float(np.abs(a - r).max())
    if not scale:
        return 0.0
    rms = scale * math.sqrt(float(np.square((a - r) / scale).mean()))
    return rms / spread


def _cutoff(sizes: Values) -> float:
    """From which size on elements of a tensor stand for infinity."""
    finite = sizes[sizes < BEYOND]
    median = float(np.median(finite)) if finite.size else 0.0
    near, far = GAP[0] * median, GAP[1] * median
    if not median or not (finite >= far).any() or ((finite >= near) & (finite < far)).any():
        return BEYOND
    return far


def _apart(tensor: Tensor, other: Tensor, accepted: float) -> bool:
    """Whether means alone say that two tensors are not the same: each moves by the error at most."""
    if tensor.floating and tensor.beyond != other.beyond:
        return True
    least = accepted * other.spread * 1.01 + 1e-12
    return abs(tensor.mean - other.mean) > least or abs(tensor.absolute - other.absolute) > least


def _orders(
    tensor: Tensor, other: Tensor
) -> Iterator[tuple[NDArray[np.generic], NDArray[np.generic]]]:
    """Both arrays with the axes of one in each other order."""
    runs = len(tensor.array)
    mine = tensor.array.reshape(runs, *tensor.shape)
    theirs = other.array.reshape(runs, *other.shape)
    if 1 < len(other.shape) <= MOST_AXES:
        for order in permutations(range(len(other.shape))):
            if order == tuple(range(len(other.shape))):
                continue
            turned = theirs.transpose(0, *(axis + 1 for axis in order))
            yield mine, turned
    if 1 < len(tensor.shape) <= MOST_AXES and sorted(tensor.shape) != sorted(other.shape):
        for order in permutations(range(len(tensor.shape))):
            if order != tuple(range(len(tensor.shape))):
                yield mine.transpose(0, *(axis + 1 for axis in order)), theirs


def _taste(left: NDArray[np.generic], right: NDArray[np.generic], spread: float) -> float:
    """The error of some elements of the first run, before arrays are copied to compare all."""
    size = int(np.prod(left.shape[1:]))
    places = np.linspace(0, size - 1, min(size, TASTED)).astype(np.int64)
    a = left[0][np.unravel_index(places, left.shape[1:])].astype(np.float64)
    r = right[0][np.unravel_index(places, right.shape[1:])].astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - r)
    near = apart[apart < BEYOND]
    return math.sqrt(float(np.square(near / spread).mean())) if near.size else 0.0
