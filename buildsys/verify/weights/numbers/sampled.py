"""A few elements of many weights at once, in any order of their axes: they tell which are worth comparing.

A network of equal branches has hundreds of weights of one shape, each of which may be what is stored, in up
to 120 orders of axes. To compare all with all takes minutes; to compare a few elements of all of them is one
operation on a small matrix for each order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.verify.weights.numbers.axis_orders import orders, spread

Array = NDArray[Any]
Order = tuple[int, ...]

PLACES = 32
"""Elements that are looked at of each weight."""
ROWS = 2
"""Channels that are looked at: two tell most weights from others."""
ALONG = 16
"""Elements that are looked at of a channel."""
LIKELY = 0.25
"""The part of them that must agree for a weight to be compared as a whole, which asks for far more."""
LARGE = 0.1
"""The least of a channel's elements, relative to its largest, that tell its factor."""
Room = Callable[[Array], Array]
"""How far numbers may be off, by their places in the flattened array."""


class Alike:
    """Arrays of one shape.

    Args:
        arrays: All of them.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._flat = [each.reshape(-1) for each in arrays]
        self.shape = arrays[0].shape
        self._tables: dict[Any, Array] = {}

    @property
    def cost(self) -> int:
        """How many elements one look takes, in all orders of axes."""
        rank = min(sum(n > 1 for n in self.shape), 5)
        return math.factorial(rank) * PLACES * len(self._flat)

    def agreeing(
        self, stored: Array, room: Room, slack: Array | None
    ) -> Iterator[tuple[int, Order]]:
        """Which of the arrays may have most of the numbers of a tensor, and in which order of axes.

        Args:
            stored: The tensor's numbers.
            room: How far the type of those at some places may have taken them.
            slack: Of each array, how far arithmetic may have.
        """
        size = stored.size
        places = spread(size, PLACES)
        mine = stored.reshape(-1)[places].astype(np.float64)
        near = room(places)
        found = []
        for number, order in enumerate(orders(self.shape, stored.shape)):
            table = self._table(order, ("places", size), lambda o: _moved(self.shape, o, places))
            with np.errstate(invalid="ignore"):
                allowed = near if slack is None else near + slack[:, None]
                share = (np.abs(table - mine) <= allowed).mean(axis=1)
            # Of very few elements one may be wrong.
            likely = share >= min(LIKELY, 1 - 1.5 / len(places))
            found += [(int(which), number, order) for which in np.flatnonzero(likely)]
        yield from ((which, order) for which, _, order in sorted(found))

    def proportional(
        self, stored: Array, coarse: float, least: float = 0.0
    ) -> Iterator[tuple[int, Order, int]]:
        """Which of the arrays may be a tensor up to one factor a channel: with order and axis.

        Args:
            stored: The tensor's numbers.
            coarse: How far rounding may have taken each, relative to the largest of its channel.
            least: How far in any case.
        """
        found = []
        for number, order in enumerate(orders(self.shape, stored.shape)):
            turned = stored.reshape([self.shape[i] for i in order]).transpose(np.argsort(order))
            for axis in (0, 1):
                if turned.size // turned.shape[axis] < ROWS:
                    continue
                picked = _channels(self.shape, axis)
                mine = turned[np.unravel_index(picked, self.shape)].astype(np.float64)
                table = self._table(order, ("rows", axis), lambda _, p=picked: p)
                likely = _scaled(table, mine, coarse, least)
                found += [(int(which), number, axis, order) for which in np.flatnonzero(likely)]
        yield from ((which, order, axis) for which, _, axis, order in sorted(found))

    def _table(self, order: Order, kind: tuple[str, int], place: Any) -> Array:
        key = kind if kind[0] == "rows" else (order, kind)
        found = self._tables.get(key)
        if found is None:
            at = place(order)
            found = np.stack([each[at] for each in self._flat]).astype(np.float64)
            self._tables[key] = found
        return found


def _moved(shape: tuple[int, ...], order: Order, places: Array) -> Array:
    """Places of an array whose axes are permuted, as places of the array."""
    index = np.unravel_index(places, tuple(shape[i] for i in order))
    back = np.argsort(order)
    return np.asarray(np.ravel_multi_index(tuple(index[i] for i in back), shape))


@lru_cache(maxsize=4096)
def _channels(shape: tuple[int, ...], axis: int) -> Array:
    """Places of a few elements of the first channels, [channels, n]."""
    others = [n for i, n in enumerate(shape) if i != axis]
    count = math.prod(others)
    chosen = spread(count, ALONG)
    index = list(np.unravel_index(chosen, others)) if others else [chosen]
    rows = np.arange(min(ROWS, shape[axis]))[:, None]
    index = [np.broadcast_to(each, (len(rows), len(chosen))) for each in index]
    index.insert(axis, np.broadcast_to(rows, (len(rows), len(chosen))))
    return np.asarray(np.ravel_multi_index(tuple(index), shape))


def _scaled(table: Array, mine: Array, coarse: float, least: float) -> Array:
    """Which of some weights' channels, [weights, channels, n], are the given ones up to a factor each."""
    sizes = np.abs(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        known = (sizes >= LARGE * sizes.max(axis=2, keepdims=True)) & (table != 0)
        ratios = np.where(known, mine / table, np.inf)
    # The lower median; what is not known comes last.
    ratios.sort(axis=2)
    middle = np.maximum(known.sum(axis=2) - 1, 0) // 2
    factors = np.take_along_axis(ratios, middle[:, :, None], axis=2)
    factors = np.where(np.isfinite(factors), factors, 1.0)
    expected = table * factors
    room = np.maximum(coarse * np.abs(expected).max(axis=2, keepdims=True), least)
    return np.asarray((np.abs(mine - expected) <= room).mean(axis=(1, 2)) >= 0.5)
