"""Where stored numbers are what they should be, element by element, after rounding or quantization."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Stored
from buildsys.verify.weights.numbers.fingerprints import LARGEST_HALF, TINY_HALF, rounded
from buildsys.verify.weights.numbers.sampled import Room

Array = NDArray[Any]

FLOATS = ("float16", "bfloat16", "float32", "float64")
HALF_STEP = 0.5
CLIPPED = 1.5
"""How many steps beyond the range a number may lie that was cut off there."""
NEAREST = 1.05
"""How much farther than the nearest of a palette the chosen number may be: centres are rounded."""
ARITHMETIC = 4e-3
"""How far beyond half a step a quantizer's own float32 arithmetic may take a number, in steps."""
HALF = 2.0**-11
"""Half a unit in the last place of float16, relative."""
WIDTH = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""Half a unit in the last place by type, relative."""


def agrees(stored: Stored, at: Any, expected: Array, slack: Array | float = 0.0) -> Array:
    """Which elements are the expected numbers as the storage would have them.

    Args:
        stored: What is stored.
        at: Which elements, as an index into the flattened array; `slice(None)` for all.
        expected: Numbers for those elements.
        slack: How far arithmetic may have taken them before they were stored.
    """
    if stored.scale is not None:
        return _quantized(stored, at, expected, slack)
    if stored.storage in ("palette", "sparse"):
        return _coded(stored, at, expected)
    values = stored.values.reshape(-1)[at]
    if not np.any(slack):
        return np.asarray(
            rounded(values, stored.storage) == rounded(np.asarray(expected), stored.storage)
        )
    return _near(values, stored.storage, expected, slack)


def _near(values: Array, storage: str, expected: Array, slack: Array | float) -> Array:
    if storage == "float16":
        expected = np.clip(expected, -LARGEST_HALF, LARGEST_HALF)
    off = np.abs(values.astype(np.float64) - expected)
    # The rounding to the type is counted by the slack already where the type is float32.
    width = np.zeros(1) if storage in ("float32", "float64") else _half_step(values, storage)
    return np.asarray(off <= np.maximum(width, least_step(storage)) + slack)


def least_step(storage: str) -> float:
    """How far from a number its type may be however small it is: one step of float16's smallest numbers."""
    return TINY_HALF if storage == "float16" else 0.0


def room_of(stored: Stored) -> Room:
    """How far from a number its storage may be at most, loosely: what is farther is another number."""
    values = stored.values.reshape(-1)
    if stored.scale is not None:
        scale = np.broadcast_to(np.abs(stored.scale), stored.values.shape)
        return lambda at: 2.0 * scale[np.unravel_index(at, scale.shape)].astype(np.float64)
    if stored.storage not in FLOATS:
        return lambda at: np.full(1, np.inf)
    width, least = 2 * WIDTH[stored.storage], least_step(stored.storage)
    return lambda at: width * np.abs(values[at].astype(np.float64)) + least


def _half_step(values: Array, storage: str) -> Array:
    """How far the number that a narrow type has for it may be from what was rounded."""
    _, exponent = np.frexp(values.astype(np.float64))
    # Of a mantissa from 0.5 to 1 the last place is twice `WIDTH`: half of that, and nothing more.
    return np.asarray(np.ldexp(WIDTH[storage], exponent - 1))


def _quantized(stored: Stored, at: Any, expected: Array, slack: Array | float) -> Array:
    """Whether each integer is within half a step of its number, or at the end of the range."""
    assert stored.scale is not None
    shape = stored.values.shape
    scale = np.broadcast_to(stored.scale, shape).reshape(-1)[at].astype(np.float64)
    zero: Array = np.zeros(1)
    if stored.zero_point is not None:
        zero = np.broadcast_to(stored.zero_point, shape).reshape(-1)[at].astype(np.float64)
    whole = stored.values.reshape(-1)[at].astype(np.float64)
    steps = whole - zero
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.asarray(expected, np.float64) / scale
        room = HALF_STEP + ARITHMETIC + slack / np.abs(scale)
    if stored.scale.dtype == np.float16:
        # A scale that was rounded after the integers were chosen.
        room = room + (np.abs(steps) + np.abs(zero)) * HALF
    low, high = stored.values.min(), stored.values.max()
    clipped = ((whole == low) & (wanted < steps)) | ((whole == high) & (wanted > steps))
    # All of a channel is 0 where its scale is: nothing could have been said about it.
    dead = (scale == 0) & (np.asarray(expected) == 0)
    off = np.abs(wanted - steps)
    return np.asarray((off <= room) | (clipped & (off <= CLIPPED)) | dead)


def _coded(stored: Stored, at: Any, expected: Array) -> Array:
    """Zeros of a sparse tensor are as they should be; a palette's number is the nearest it has."""
    values = stored.values.reshape(-1)[at].astype(np.float64)
    wanted = np.asarray(expected, np.float64)
    half = rounded(wanted, "float16").astype(np.float64)
    off = np.minimum(np.abs(values - half), np.abs(values - wanted))
    if stored.storage == "sparse":
        return np.asarray((values == 0) | (off <= 2 * HALF * np.abs(half)))
    strict = isinstance(at, slice) and stored.levels is not None
    below, above = _reach(stored) if strict else _widest(stored.values, values)
    slack = 2 * HALF * np.abs(half)
    return np.asarray(
        np.logical_or.reduce(
            [
                (values - below * NEAREST - slack <= number)
                & (number <= values + above * NEAREST + slack)
                for number in (half, wanted)
            ]
        )
    )


def _widest(all_values: Array, values: Array) -> tuple[Array, Array]:
    """The widest gap between neighbours of a palette, or of all palettes of a tensor together."""
    levels = np.unique(all_values.astype(np.float64))
    gap = float(np.diff(levels).max()) if len(levels) > 1 else 0.0
    return (
        np.where(values == levels[0], np.inf, gap),
        np.where(values == levels[-1], np.inf, gap),
    )


def _reach(stored: Stored) -> tuple[Array, Array]:
    """How far each number may lie above and below what it stands for; see `_half_ways`.

    Groups of channels have palettes of their own, so that each channel is looked at by itself where
    there are more numbers than one palette has.
    """
    values = stored.values.astype(np.float64)
    if len(np.unique(values)) <= (stored.levels or 0):
        return _half_ways(values.reshape(-1))
    axis = 0
    if values.ndim > 1 and len(np.unique(values[0])) > (stored.levels or 0):
        axis = 1
    rows = np.moveaxis(values, axis, 0)
    both = [_half_ways(row.reshape(-1)) for row in rows]
    below, above = (
        np.moveaxis(np.stack([part[side].reshape(rows.shape[1:]) for part in both]), 0, axis)
        for side in (0, 1)
    )
    return below.reshape(-1), above.reshape(-1)


def _half_ways(values: Array) -> tuple[Array, Array]:
    """For each number half the way to its neighbours, below and above.

    Beyond the ends there is no way: what lies there has no nearer number, however far it is.
    """
    levels, which = np.unique(values, return_inverse=True)
    which = which.reshape(-1)
    gaps = np.diff(levels) / 2
    return np.append(np.inf, gaps)[which], np.append(gaps, np.inf)[which]
