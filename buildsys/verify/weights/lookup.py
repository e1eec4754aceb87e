"""Finds weights again by the digests of their numbers and slices: nothing is compared that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import COLUMNS, ROWS, Stored, Weights
from buildsys.verify.weights.folding import formulas
from buildsys.verify.weights.match import (
    ALTERED,
    EXACT,
    FEWEST,
    NEARLY,
    REARRANGED,
    ROUNDED,
    Match,
    altered,
)
from buildsys.verify.weights.numbers.agreement import FLOATS, WIDTH
from buildsys.verify.weights.numbers.axis_orders import best_order, orders, picked, spread
from buildsys.verify.weights.numbers.fingerprints import (
    BITS,
    Fingerprints,
    Index,
    Slicing,
    cuts,
    digests,
    rounded,
)
from buildsys.verify.weights.numbers.proportion import telling

Array = NDArray[Any]

LIKELY = 0.6
"""The part of a slice that must agree with what belongs there."""
MISPLACED = 0.5
"""The part of slices that may be out of place where the others are in it, for a fault."""
TASTED = 64
"""Elements by which an order of axes is tried before all are compared."""


class Lookup:
    """A model's weights by their digests.

    Args:
        model: The model's weights.
        decoded: Their numbers, and those of sums of two, by name.
        prints: Digests of constants, which another one may have asked for before.
    """

    def __init__(
        self, model: Weights, decoded: Mapping[str, Array], prints: Fingerprints | None = None
    ) -> None:
        self._model = model
        self._weights = decoded
        self._names = list(decoded)
        self._storages = {tensor.name: tensor.storage for tensor in model.tensors}
        self._constants = Fingerprints() if prints is None else prints
        self._own = Fingerprints()
        self._indices: dict[str, Index] = {}

    def found(self, stored: Stored) -> Match | None:
        """A weight, or slices of some, in any layout; `None` where the numbers are others."""
        for storage in self._storages_of(stored):
            for name in self._equal(stored, storage):
                found = self._arranged(stored, rounded(stored.values, storage), name, storage)
                if found is not None:
                    return found
            found = self._sliced(stored, storage)
            if found is not None:
                return found
        return None

    def _storages_of(self, stored: Stored) -> list[str]:
        """The types that its numbers may have been rounded to: a narrower one may lie in a wider."""
        found = [stored.storage]
        if stored.storage in ("float32", "float64"):
            flat = stored.values.reshape(-1)
            # A few numbers tell most tensors.
            if _are_half(flat[:: max(1, flat.size // TASTED)]) and _are_half(flat):
                found.append("float16")
        return found

    def _equal(self, stored: Stored, storage: str) -> list[str]:
        """The weights with the same numbers, in any order."""
        size = stored.values.size
        same_size = [name for name, values in self._weights.items() if values.size == size]
        if not same_size:
            return []
        wanted = self._constants.whole(id(stored), stored.values, storage)
        return [
            name
            for name in same_size
            if self._own.whole(name, self._weights[name], storage) == wanted
        ]

    def _arranged(self, stored: Stored, values: Array, name: str, storage: str) -> Match | None:
        """The weight with the same numbers, if in an order that a layout explains."""
        weight = rounded(self._weights[name], storage)
        kind = EXACT if _holds(storage, self._storages.get(name, storage)) else ROUNDED
        flat = values.reshape(-1)
        fitting = next(_fitting(weight, flat, stored.values.shape), None)
        if fitting is not None:
            wanted = self._wanted_order(name, stored)
            if wanted is not None and wanted not in _fitting(weight, flat, stored.values.shape):
                return Match(
                    ALTERED,
                    (name,),
                    count=stored.values.size,
                    why="the matrix is transposed: its operation takes it the other way",
                )
            return Match(kind, (name,))
        if weight.ndim > 2:
            axes = tuple(range(2, weight.ndim))
            turned = np.flip(weight, axes)
            if next(_fitting(turned, flat, stored.values.shape), None) is not None:
                return Match(REARRANGED, (name,))
        return None

    def _wanted_order(self, name: str, stored: Stored) -> tuple[int, ...] | None:
        """The order of a linear layer's axes that the operation takes, where it is known."""
        if name not in self._model.linear or stored.orientation not in (ROWS, COLUMNS):
            return None
        if stored.values.ndim != 2 or stored.values.shape[0] != stored.values.shape[1]:
            return None
        return (0, 1) if stored.orientation == ROWS else (1, 0)

    def _sliced(self, stored: Stored, storage: str) -> Match | None:
        """What is put together of slices of weights: cut, joined, or in another order."""
        if not telling(stored.values):
            return None
        index = self._index(storage)
        for slicing in self._constants.slicings(id(stored), stored.values, storage):
            if not index.likely(slicing, least=1):
                continue
            owners, _ = index.find(slicing)
            if (owners >= 0).all():
                wrong = self._disordered(
                    stored, rounded(stored.values, storage), index
                ) or self._misplaced(stored, slicing, index)
                if wrong is not None:
                    return wrong
                names = [self._names[int(owner)] for owner in dict.fromkeys(owners.tolist())]
                return Match(REARRANGED, tuple(names))
        return None

    def _disordered(self, stored: Stored, values: Array, index: Index) -> Match | None:
        """A recurrent weight whose gates are not in the order that its operation takes."""
        kinds = {reader.partition(" ")[0] for reader in stored.readers}
        order = formulas.ORDERS.get(kinds.pop()) if len(kinds) == 1 else None
        if order is None or values.ndim < 2:
            return None
        rows = values.reshape(-1, values.shape[-1])
        cut = Slicing(rows.shape, 0, rows.shape[1], digests(rows).sum(axis=1, dtype=np.uint64))
        owners, places = index.find(cut)
        for owner in np.unique(owners[owners >= 0]).tolist():
            name = self._names[owner]
            high = self._weights[name].shape[0]
            mine = places[owners == owner]
            if not name.rpartition(".")[2].startswith(("weight_ih", "weight_hh")):
                continue
            if len(mine) != high or high % len(order) or (owners == owner).sum() != high:
                continue
            gates = mine.reshape(len(order), -1) // (high // len(order))
            found = tuple(gates[:, 0].tolist())
            if (gates == gates[:, :1]).all() and found != order:
                why = f"its gates are in the order {found}, and the operation takes {order}"
                return Match(ALTERED, (name,), count=stored.values.size, why=why)
        return None

    def _misplaced(self, stored: Stored, slicing: Slicing, index: Index) -> Match | None:
        """A weight, or a part of one, with a few of its slices exchanged: no layout has most in place."""
        owners, places = index.find(slicing)
        owner = int(owners[0])
        name = self._names[owner]
        places = places - places.min()
        if (owners != owner).any() or places.max() != len(places) - 1:
            return None
        moved = places != np.arange(len(places))
        if not 0 < moved.mean() < MISPLACED or len(np.unique(places)) < len(places):
            return None
        first, last = int(np.flatnonzero(moved)[0]), int(places[np.flatnonzero(moved)[0]])
        why = f"{int(moved.sum())} of its slices are exchanged: at {first} is that of {last}"
        return Match(ALTERED, (name,), count=int(moved.sum()) * slicing.size, why=why)

    def _index(self, storage: str) -> Index:
        index = self._indices.get(storage)
        if index is None:
            arrays = [(name, values, storage) for name, values in self._weights.items()]
            index = Index(
                [values.shape for values in self._weights.values()],
                lambda owner: self._own.whole(*arrays[owner]),
                lambda owner: self._own.slicings(*arrays[owner]),
            )
            self._indices[storage] = index
        return index

    def nearly(self, stored: Stored) -> Match | None:
        """Slices of weights, but for a few: what stands where one of them belongs is altered."""
        if stored.storage not in FLOATS or not telling(stored.values):
            return None
        index = self._index(stored.storage)
        for slicing in self._constants.slicings(id(stored), stored.values, stored.storage):
            if not index.likely(slicing, min(NEARLY, 1 - 1 / len(slicing.parts))):
                continue
            owners, places = index.find(slicing)
            hit = owners >= 0
            lost = np.flatnonzero(~hit)
            if not (hit.mean() >= NEARLY or (len(lost) == 1 and len(hit) >= FEWEST)):
                continue
            values = rounded(stored.values, stored.storage)
            found = self._altered_slices(values, slicing, owners, places, lost)
            if found is not None:
                return found
        return None

    def _altered_slices(
        self, values: Array, slicing: Slicing, owners: Array, places: Array, lost: Array
    ) -> Match | None:
        """The slices that neighbours say belong where others stand, compared with what stands there."""
        cut = np.moveaxis(values.reshape(slicing.shape), slicing.axis, 0)
        where = np.arange(values.size).reshape(slicing.shape)
        where = np.moveaxis(where, slicing.axis, 0).reshape(len(cut), -1)
        of: list[str] = []
        wrong: list[Array] = []
        expected: list[Array] = []
        for part in lost.tolist():
            belongs = _between(owners, places, part)
            if belongs is None:
                return None
            owner, place = belongs
            name = self._names[owner]
            weight = rounded(self._weights[name], values.dtype.name)
            theirs = _part(weight, slicing, place)
            if theirs is None:
                return None
            mine = cut[part].reshape(-1)
            right, wanted = best_order(mine, theirs, cut[part].shape)
            if mine.size > 1 and right.mean() < LIKELY and not (right.sum() >= mine.size - 1):
                return None
            of.append(name)
            wrong.append(where[part][~right])
            expected.append(wanted[~right])
        return altered(tuple(dict.fromkeys(of)), np.concatenate(wrong), np.concatenate(expected))


def _holds(storage: str, original: str) -> bool:
    """Whether numbers of the original type are kept as they are."""
    return storage == original or WIDTH.get(storage, 1.0) < WIDTH.get(original, 0.0)


def _are_half(values: Array) -> bool:
    """Whether all are numbers of float16."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16), values))


def _fitting(weight: Array, flat: Array, shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The orders of a weight's axes that give the stored numbers, bit by bit."""
    places = spread(flat.size, TASTED)
    bits = BITS[weight.dtype.itemsize]
    weight, flat = np.ascontiguousarray(weight).view(bits), np.ascontiguousarray(flat).view(bits)
    for order in orders(weight.shape, shape):
        if np.array_equal(picked(weight, order, places), flat[places]) and np.array_equal(
            weight.transpose(order).reshape(-1), flat
        ):
            yield order


def _between(owners: Array, places: Array, part: int) -> tuple[int, int] | None:
    """Whose slice, and which, belongs at a place, by the slices beside it."""
    found = []
    for side in (-1, 1):
        beside = part + side
        if 0 <= beside < len(owners) and owners[beside] >= 0:
            found.append((int(owners[beside]), int(places[beside]) - side))
    guess = found[0] if found else None
    if guess is None or guess[1] < 0:
        return None
    taken = (owners == guess[0]) & (places == guess[1])
    return None if taken.any() else guess


def _part(weight: Array, slicing: Slicing, place: int) -> Array | None:
    """The slice of a weight that is of this size, along any of its axes."""
    for theirs in cuts(weight.shape):
        if theirs.size == slicing.size and place < theirs.count:
            return np.asarray(np.moveaxis(weight.reshape(theirs.shape), theirs.axis, 0)[place])
    return None
