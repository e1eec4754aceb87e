"""Digests of tensors that do not depend on the order of their elements, and of their slices.

The digest of a set of numbers is the sum of a mixed digest of each, modulo 2^64, so that the digest of
a tensor is the sum of those of its slices along any axis, however the axes are permuted. What a
converter transposes, concatenates, splits or reorders is found by a look-up, without a scan.

The mixing function is splitmix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
CHUNK = 2**22
"""Elements that are mixed at a time: their digests are twice as large as the numbers."""
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
        with np.errstate(over="ignore"):
            half = np.clip(values, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
        small = np.abs(half) <= np.float16(TINY_HALF)
        return np.where(small, np.float16(0), half)
    single = values.astype(np.float32) + np.float32(0)
    if storage == "bfloat16":
        bits = single.view(np.uint32).astype(np.uint64)
        bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
        single = bits.astype(np.uint32).view(np.float32)
    return np.asarray(single)


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


def digest(values: Array) -> int:
    """The digest of a whole array."""
    return int(digests(values).sum(dtype=np.uint64))


@dataclass(frozen=True)
class Slicing:
    """A way to cut an array into equal parts.

    Attributes:
        shape: What the array is reshaped to.
        axis: The axis that is cut.
        size: Elements of each part.
        parts: The parts' digests, in order.
    """

    shape: tuple[int, ...]
    axis: int
    size: int
    parts: Array


def slicings(values: Array, mixed: Array | None = None) -> Iterator[Slicing]:
    """All ways to cut an array along one axis, or along axes at its beginning or end taken as one.

    Args:
        values: The array.
        mixed: The digests of its numbers, where they are known.
    """
    shape = tuple(n for n in values.shape if n > 1)
    mixed = (digests(values) if mixed is None else mixed).reshape(shape)
    rank = len(shape)
    for axis, count in enumerate(shape):
        others = tuple(i for i in range(rank) if i != axis)
        yield Slicing(
            shape, axis, values.size // count, np.asarray(mixed.sum(axis=others, dtype=np.uint64))
        )
    for split in range(1, rank):
        halves = (math.prod(shape[:split]), math.prod(shape[split:]))
        joined = mixed.reshape(halves)
        for axis, merged in ((0, split > 1), (1, rank - split > 1)):
            if merged:
                parts = joined.sum(axis=1 - axis, dtype=np.uint64)
                yield Slicing(halves, axis, halves[1 - axis], np.asarray(parts))
    if rank > 1 and values.size <= FEW:
        yield Slicing((values.size,), 0, 1, mixed.reshape(-1))


class Index:
    """Where the slices of some arrays are, by their digests.

    Slices of one size are looked up together; `owner` and `place` say whose and which they are.
    """

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[Array, int]]] = {}
        self._sorted: dict[int, tuple[Array, Array, Array]] = {}
        self._filters: dict[int, Array] = {}

    def add(self, owner: int, values: Array) -> None:
        """Adds an array's slices, and the array as a whole."""
        mixed = digests(values)
        whole = np.array([mixed.sum(dtype=np.uint64)], np.uint64)
        self._parts.setdefault(values.size, []).append((whole, owner))
        for slicing in slicings(values, mixed):
            # Single numbers of vectors only: among those of all matrices any number might be found.
            if slicing.size > 1 or _is_vector(values):
                self._parts.setdefault(slicing.size, []).append((slicing.parts, owner))

    def likely(self, slicing: Slicing) -> float:
        """The share of parts that may be of some array: never less than `find` finds, and cheaper."""
        if slicing.size not in self._parts:
            return 0.0
        count = sum(len(parts) for parts, _ in self._parts[slicing.size])
        bits = min(WIDEST, max(1, (ROOM * count).bit_length()))
        shift = np.uint64(64 - bits)
        known = self._filters.get(slicing.size)
        if known is None:
            known = np.zeros(2**bits, bool)
            for parts, _ in self._parts[slicing.size]:
                known[parts >> shift] = True
            self._filters[slicing.size] = known
        return float(known[slicing.parts >> shift].mean())

    def find(self, slicing: Slicing) -> tuple[Array, Array]:
        """Whose each part is, and its place there; -1 for parts of no one."""
        if slicing.size not in self._parts:
            nobody = np.full(len(slicing.parts), -1)
            return nobody, nobody
        keys, owners, places = self._table(slicing.size)
        at = np.minimum(np.searchsorted(keys, slicing.parts), len(keys) - 1)
        hit = keys[at] == slicing.parts
        return np.where(hit, owners[at], -1), np.where(hit, places[at], -1)

    def _table(self, size: int) -> tuple[Array, Array, Array]:
        found = self._sorted.get(size)
        if found is None:
            parts = self._parts[size]
            keys = np.concatenate([part for part, _ in parts])
            owners = np.concatenate([np.full(len(part), owner) for part, owner in parts])
            places = np.concatenate([np.arange(len(part)) for part, _ in parts])
            order = np.argsort(keys, kind="stable")
            found = keys[order], owners[order], places[order]
            self._sorted[size] = found
        return found


def _is_vector(values: Array) -> bool:
    return sum(1 for n in values.shape if n > 1) == 1
