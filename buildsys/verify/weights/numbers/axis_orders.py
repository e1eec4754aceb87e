"""Orders of axes: how a weight may lie in an artifact."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MOST_AXES = 5
"""Axes up to which all their orders are tried."""


def is_vector(array: Array) -> bool:
    """Whether one axis alone has more than one element."""
    return bool(sum(n > 1 for n in array.shape) == 1)


def orders(weight: tuple[int, ...], stored: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Permutations of a weight's axes, those that give the stored shape first, then the others."""
    if len(weight) > MOST_AXES:
        yield tuple(range(len(weight)))
        return
    shape = [n for n in stored if n > 1]
    seen: set[tuple[int, ...]] = set()
    later = []
    for order in itertools.permutations(range(len(weight))):
        kept = tuple(i for i in order if weight[i] > 1)
        if kept in seen:
            continue  # Axes of size 1 change nothing.
        seen.add(kept)
        if [weight[i] for i in kept] == shape:
            yield order
        else:
            later.append(order)
    yield from later


def picked(weight: Array, order: tuple[int, ...], places: Array) -> Array:
    """Elements of a weight by their places once its axes are permuted; nothing is copied whole."""
    if weight.ndim == 0:
        return np.full(places.shape, weight)
    shape = tuple(weight.shape[i] for i in order)
    index = np.unravel_index(places, shape)
    back = np.argsort(order)
    return np.asarray(weight[tuple(index[i] for i in back)])


def spread(size: int, most: int) -> Array:
    """Places from the first to the last of a flattened tensor, as far apart as so many can be.

    The steps are of two lengths, so that no axis is seen at one of its places only.
    """
    return np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.int64))


def best_order(mine: Array, theirs: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Which elements are the same, in the order of axes in which most of them are."""
    best = np.zeros(mine.size, bool)
    chosen = theirs.reshape(-1)
    for order in orders(theirs.shape, shape):
        flat = theirs.transpose(order).reshape(-1)
        same = np.asarray(flat == mine)
        if same.sum() > best.sum():
            best, chosen = same, flat
    return best, chosen
