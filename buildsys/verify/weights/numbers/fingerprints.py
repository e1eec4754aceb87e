"""Digests of tensors that do not depend on the order of their elements, and of their slices.

The digest of a set of numbers is the sum of a mixed digest of each, modulo 2^64, so that the digest of
a tensor is the sum of those of its slices along any axis, however the axes are permuted. What a
converter transposes, concatenates, splits or reorders is found by a look-up, without a scan.

The mixing function is splitmix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TINY_HALF = 2.0**-24
"""The smallest number of float16: converters write it where a weight would become 0, or do not."""
LARGEST_HALF = 65504.0
BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}
FEW = 2**16
"""Elements of an array up to which each of them is looked up by itself."""
SHORT = 16
"""Numbers in a row that are added column by column."""
CHUNK = 2**15
"""Elements that are mixed at a time: a core's own cache holds their digests, which are read ten times."""
FEW_PARTS = 64
"""Parts that are looked at before all are."""
ROOM = 8
"""Places of a filter for each part that is known: one in so many others passes it."""
WIDEST = 27
"""The most bits of a digest that are a place in a filter."""


def rounded(values: Array, storage: str) -> Array:
    """The numbers as they are in a type of floats; equal numbers have equal bits.

    Args:
        values: Floats of any width.
        storage: `float16`, `bfloat16` (kept in float32), `float32` or `float64`.
    """
    if storage == "float64":
        return np.asarray(values.astype(np.float64) + 0.0)
    if storage == "float16":
        return _half(values)
    single = values.astype(np.float32, copy=False) + np.float32(0)
    if storage == "bfloat16":
        bits = single.view(np.uint32).astype(np.uint64)
        bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
        single = bits.astype(np.uint32).view(np.float32)
    return np.asarray(single)


def _half(values: Array) -> Array:
    """The numbers in float16: the largest instead of infinities, and 0 for the smallest.

    By their bits: numpy takes ten times as long to compare numbers of float16 as integers.
    """
    with np.errstate(over="ignore"):
        half = np.asarray(values).astype(np.float16)
    bits = half.view(np.uint16)
    sizes = bits & np.uint16(0x7FFF)
    bits[sizes <= np.float16(TINY_HALF).view(np.uint16)] = 0
    infinite = sizes == np.float16(np.inf).view(np.uint16)
    if infinite.any():
        half[infinite] = np.copysign(np.float16(LARGEST_HALF), half[infinite])
    return half


def digests(values: Array) -> Array:
    """The digest of each number of an array that `rounded` gave."""
    flat = np.ascontiguousarray(values).reshape(-1)
    found = np.empty(flat.size, np.uint64)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        bits = part.view(BITS[part.dtype.itemsize]).astype(np.uint64)
        bits += np.uint64(0x9E3779B97F4A7C15)
        bits ^= bits >> np.uint64(30)
        bits *= np.uint64(0xBF58476D1CE4E5B9)
        bits ^= bits >> np.uint64(27)
        bits *= np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        found[start : start + CHUNK] = bits
    return found.reshape(values.shape)


def digest(values: Array, storage: str) -> int:
    """The digest of a whole array, rounded to a type.

    Block by block: what a large array needs beside itself is written to new memory, and that takes longer
    than its digests do.
    """
    flat = values.reshape(-1)
    total = 0
    for start in range(0, flat.size, CHUNK):
        mixed = digests(rounded(flat[start : start + CHUNK], storage))
        total += int(mixed.sum(dtype=np.uint64))
    return total % 2**64


@dataclass(frozen=True)
class Cut:
    """A way to cut an array into equal parts.

    Attributes:
        shape: What the array is reshaped to.
        axis: The axis that is cut.
        size: Elements of each part.
    """

    shape: tuple[int, ...]
    axis: int
    size: int

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.shape[self.axis]


@dataclass(frozen=True)
class Slicing(Cut):
    """The same, with the parts' digests, in order."""

    parts: Array


def cuts(shape: tuple[int, ...]) -> Iterator[Cut]:
    """All ways to cut an array along one axis, or along axes at its beginning or end taken as one."""
    shape = tuple(n for n in shape if n > 1)
    size, rank = math.prod(shape), len(shape)
    for axis, count in enumerate(shape):
        yield Cut(shape, axis, size // count)
    for split in range(1, rank):
        halves = (math.prod(shape[:split]), math.prod(shape[split:]))
        for axis, merged in ((0, split > 1), (1, rank - split > 1)):
            if merged:
                yield Cut(halves, axis, halves[1 - axis])
    if rank > 1 and size <= FEW:
        yield Cut((size,), 0, 1)


def slicings(values: Array, storage: str) -> list[Slicing]:
    """The digests of all slices of an array, rounded to a type; block by block, as `digest`."""
    shape = tuple(n for n in values.shape if n > 1) or (1,)
    rows = values.reshape(shape)
    # Sums over the last axes, for each number of axes that is left; and those over the first axis.
    tails = [np.empty(shape[:left], np.uint64) for left in range(1, len(shape))]
    heads = np.zeros(shape[1:], np.uint64)
    single = math.prod(shape) <= FEW or len(shape) == 1
    whole = np.empty(shape if single else 0, np.uint64)
    step = max(1, CHUNK // math.prod(shape[1:]))
    for start in range(0, shape[0], step):
        block = slice(start, start + step)
        mixed = digests(rounded(rows[block], storage))
        if single:
            whole[block] = mixed
        heads += mixed.sum(axis=0, dtype=np.uint64)
        for tail in reversed(tails):
            mixed = _last_summed(mixed)
            tail[block] = mixed
    tails.append(whole)
    return [
        Slicing(cut.shape, cut.axis, cut.size, _parts(cut, shape, tails, heads))
        for cut in cuts(shape)
    ]


def _last_summed(mixed: Array) -> Array:
    """The sums over the last axis: numpy takes several times as long to add few numbers in a row."""
    if mixed.shape[-1] > SHORT:
        return np.asarray(mixed.sum(axis=-1, dtype=np.uint64))
    total = mixed[..., 0].copy()
    for place in range(1, mixed.shape[-1]):
        total += mixed[..., place]
    return np.asarray(total)


def _parts(cut: Cut, shape: tuple[int, ...], tails: list[Array], heads: Array) -> Array:
    """The digests of a cut's parts, from the sums over the last axes and over the first."""
    if cut.axis == 0:
        whole = math.prod(shape) // cut.size
        return next(tail for tail in tails if tail.size == whole).reshape(-1)
    if cut.shape == shape:  # One axis of several.
        others = tuple(axis for axis in range(heads.ndim) if axis != cut.axis - 1)
        return np.asarray(heads.sum(axis=others, dtype=np.uint64))
    return np.asarray(heads.reshape(-1, cut.count).sum(axis=0, dtype=np.uint64))


class Fingerprints:
    """The digests of some arrays, each computed once: nothing else that is asked of them takes as long."""

    def __init__(self) -> None:
        self._whole: dict[Hashable, int] = {}
        self._slicings: dict[Hashable, list[Slicing]] = {}

    def whole(self, key: Hashable, values: Array, storage: str) -> int:
        """The digest of an array.

        Args:
            key: Stands for the array, here and below.
            values: The array.
            storage: The type that it is rounded to.
        """
        if (key, storage) not in self._whole:
            self._whole[key, storage] = digest(values, storage)
        return self._whole[key, storage]

    def slicings(self, key: Hashable, values: Array, storage: str) -> list[Slicing]:
        """All of its slices' digests."""
        if (key, storage) not in self._slicings:
            self._slicings[key, storage] = slicings(values, storage)
        return self._slicings[key, storage]


class Index:
    """Where the slices of some arrays are, by their digests.

    Slices of one size are looked up together; `owner` and `place` say whose and which they are. An array is
    looked at when a size is asked for that a slice of it has.

    Args:
        shapes: The arrays' shapes; an array's number is its place in them.
        whole: The digest of an array, by its number.
        slicings: The digests of its slices.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        whole: Callable[[int], int],
        slicings: Callable[[int], Iterable[Slicing]],
    ) -> None:
        self._whole = whole
        self._slicings = slicings
        self._owners: dict[int, dict[int, None]] = {}
        self._vectors = {n for n, shape in enumerate(shapes) if sum(i > 1 for i in shape) == 1}
        self._sizes = [math.prod(shape) for shape in shapes]
        for owner, shape in enumerate(shapes):
            for size in (math.prod(shape), *(cut.size for cut in cuts(shape))):
                if size > 1 or owner in self._vectors:
                    self._owners.setdefault(size, {})[owner] = None
        self._parts: dict[int, list[tuple[Array, int]]] = {}
        self._sorted: dict[int, tuple[Array, Array, Array]] = {}
        self._filters: dict[int, Array] = {}

    def likely(self, slicing: Slicing, least: float) -> bool:
        """Whether so large a share of parts may be of some array: cheaper than `find`, which knows."""
        if slicing.size not in self._owners:
            return False
        known = self._filters.get(slicing.size)
        if known is None:
            every = self._of_size(slicing.size)
            count = sum(len(parts) for parts, _ in every)
            bits = min(WIDEST, max(1, (ROOM * count).bit_length()))
            known = np.zeros(2**bits, bool)
            for parts, _ in every:
                known[parts >> np.uint64(64 - bits)] = True
            self._filters[slicing.size] = known
        shift = np.uint64(64 - (len(known).bit_length() - 1))
        if least == 1 and not known[slicing.parts[:FEW_PARTS] >> shift].all():
            return False
        return bool(known[slicing.parts >> shift].mean() >= least)

    def find(self, slicing: Slicing) -> tuple[Array, Array]:
        """Whose each part is, and its place there; -1 for parts of no one."""
        if slicing.size not in self._owners:
            nobody = np.full(len(slicing.parts), -1)
            return nobody, nobody
        keys, owners, places = self._table(slicing.size)
        at = np.minimum(np.searchsorted(keys, slicing.parts), len(keys) - 1)
        hit = keys[at] == slicing.parts
        return np.where(hit, owners[at], -1), np.where(hit, places[at], -1)

    def _of_size(self, size: int) -> list[tuple[Array, int]]:
        """The slices of one size, array by array."""
        found = self._parts.get(size)
        if found is None:
            found = []
            for owner in self._owners[size]:
                if self._sizes[owner] == size:
                    found.append((np.array([self._whole(owner)], np.uint64), owner))
                # Single numbers of vectors only: among those of all matrices any number might be found.
                if size > 1 or owner in self._vectors:
                    parts = (each.parts for each in self._slicings(owner) if each.size == size)
                    found += [(each, owner) for each in parts]
            self._parts[size] = found
        return found

    def _table(self, size: int) -> tuple[Array, Array, Array]:
        found = self._sorted.get(size)
        if found is None:
            parts = self._of_size(size)
            keys = np.concatenate([part for part, _ in parts])
            owners = np.concatenate([np.full(len(part), owner) for part, owner in parts])
            places = np.concatenate([np.arange(len(part)) for part, _ in parts])
            order = np.argsort(keys, kind="stable")
            found = keys[order], owners[order], places[order]
            self._sorted[size] = found
        return found
