"""Batch norms that were folded into the layer before, to the last bit.

Rounding alone may move a folded number by several units in its last place, and would hide as many flipped
bits. But converters reckon in float32, one factor a channel: `w * s` with `s = gamma / sqrt(variance + eps)`
(PyTorch's exporter to ONNX, coremltools), or `(w * r) * gamma` with `r = 1 / sqrt(variance + eps)`
(litert-torch). The factor's own last bits are found by trying: the elements of a channel leave one choice.
With it the shift of the channel is one number as well: `(bias - mean) * s + beta`. Where the layer is kept
in a narrower type than its bias, all such biases together tell how they were reckoned; see `exact_shifts`.

A weight that is multiplied by one number (a scale of attention's) is a case of the same.

So where nearly all numbers of a tensor are exactly these, the others were altered. Where a converter
reckoned otherwise nothing is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.stored_weights import Norm, Weights
from buildsys.verify import exact_shifts
from buildsys.verify.exact_shifts import Folded, Wrong, wrong_of

Array = NDArray[Any]

STEPS = 8
"""How many units in the last place a factor may be from what float64 gives."""
MOST_AXES = 5
NEARLY = 0.75
"""The part of the channels that must be explained to the last bit before a way of reckoning is known."""
FEWEST = 4
"""Channels, and elements of a channel, that tell a way of reckoning from chance."""
FEW = 0.25
"""The part of a channel's elements that may be altered."""


@dataclass(frozen=True)
class _Factors:
    """What the elements of a layer tell of its norm: one factor a channel, NaN where they tell none."""

    norm: Norm
    gained: bool
    values: Array


def altered(found: Sequence[Folded], model: Weights) -> dict[int, Wrong]:
    """Looks at folded constants once more, to the last bit.

    Returns:
        By the place in `found`: what is altered of those that are known to be off.
    """
    weights = {tensor.name: tensor.decoded for tensor in model.tensors}
    wrong: dict[int, Wrong] = {}
    known: list[_Factors] = []
    for place, one in enumerate(found):
        norm = _norm(one, model, weights)
        if norm is None or _layer(one, weights) is None:
            continue
        off, factors = _of_layer(one, norm, weights)
        if factors is not None:
            known.append(factors)
        if off is not None:
            wrong[place] = off
    for place, one in enumerate(found):
        norm = _norm(one, model, weights)
        if norm is None:
            off = _of_scale(one, weights)
            if off is not None:
                wrong[place] = off
            continue
        if _layer(one, weights) is not None:
            continue
        for factors in known:
            off = _of_shift(one, factors, weights) if factors.norm == norm else None
            if off is not None:
                wrong[place] = off
    sure = {factors.norm.variance for factors in known}
    return wrong | exact_shifts.altered(found, model, weights, sure)


def _norm(one: Folded, model: Weights, weights: Mapping[str, Array]) -> Norm | None:
    if one.stored.storage != "float32":
        return None  # What a narrower type holds of a number hides its last bits anyway.
    norms = (n for n in model.norms if n.variance in one.of and n.variance in weights)
    return next(norms, None)


def _layer(one: Folded, weights: Mapping[str, Array]) -> Array | None:
    """The layer's weight, of those that a constant is made of."""
    large = (weights[name] for name in one.of if name in weights and weights[name].ndim > 1)
    return next((w for w in large if w.size == one.stored.values.size), None)


def _of_layer(
    one: Folded, norm: Norm, weights: Mapping[str, Array]
) -> tuple[Wrong | None, _Factors | None]:
    weight = _layer(one, weights)
    variance = weights[norm.variance].astype(np.float64)
    gamma = exact_shifts.vector(norm.gamma, weights, 1.0, variance.size)
    if weight is None or weight.ndim > MOST_AXES:
        return None, None
    weight = weight.astype(np.float32)
    for order, axis in itertools.product(_orders(weight.shape, one.stored.values.shape), (0, 1)):
        if weight.shape[axis] != variance.size:
            continue
        rows = np.moveaxis(weight, axis, 0).reshape(variance.size, -1)
        turned = one.stored.values.reshape([weight.shape[i] for i in order])
        got = np.moveaxis(turned.transpose(np.argsort(order)), axis, 0).reshape(rows.shape)
        for eps, gained in itertools.product(norm.eps, (False, True)):
            root = np.sqrt(variance + eps)
            start = (1 / root if gained else gamma / root).astype(np.float32)
            tail = gamma if gained else None
            factors, made = _tried(rows, got, start, tail)
            same = made == got
            whole = same.all(axis=1)
            if whole.sum() < max(FEWEST, NEARLY * len(whole)) or rows.shape[1] < FEWEST:
                continue
            # A channel that is off as a whole was reckoned otherwise.
            off = ~same & ((~same).mean(axis=1, keepdims=True) <= FEW)
            known = np.where((~same).mean(axis=1) <= FEW, factors, np.float32(np.nan))
            return (
                _wrong(off, made, weight.shape, axis, order),
                _Factors(norm, gained, known),
            )
    return None, None


def _tried(rows: Array, got: Array, start: Array, tail: Array | None) -> tuple[Array, Array]:
    """The factor of each channel that makes most of its elements, and what it makes of all of them."""
    best = np.full(len(rows), -1)
    factors, made = start.copy(), np.zeros_like(rows)
    for steps in sorted(range(-STEPS, STEPS + 1), key=abs):
        tried = (start.view(np.int32) + steps).view(np.float32)
        product = rows * tried[:, None]
        if tail is not None:
            product = product * tail[:, None]
        same = (product == got).sum(axis=1)
        better = same > best
        best[better], factors[better] = same[better], tried[better]
        made[better] = product[better]
    return factors, made


def _of_scale(one: Folded, weights: Mapping[str, Array]) -> Wrong | None:
    """A weight times one factor, the same for all of it: that of attention, say."""
    got = one.stored.values
    weight = weights.get(one.of[0]) if len(one.of) == 1 else None
    if one.stored.storage != "float32" or weight is None or weight.size != got.size:
        return None
    if weight.ndim > MOST_AXES or weight.size < FEWEST:
        return None
    for order in _orders(weight.shape, got.shape):
        row = weight.astype(np.float32).transpose(order).reshape(1, -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.nanmedian(got.reshape(-1) / row[0]).astype(np.float32).reshape(1)
        if not np.isfinite(factor).all():
            continue
        _, made = _tried(row, got.reshape(1, -1), factor, None)
        same = made[0] == got.reshape(-1)
        if same.sum() >= max(FEWEST, NEARLY * same.size):
            return wrong_of(~same, made[0])
    return None


def _of_shift(one: Folded, known: _Factors, weights: Mapping[str, Array]) -> Wrong | None:
    """A folded bias: what the factors of its layer make of it."""
    norm, factors = known.norm, known.values
    got = one.stored.values.reshape(-1)
    size = factors.size
    if got.size != size:
        return None
    gamma, beta, mean = exact_shifts.of_norm(norm, weights, size)
    bias = exact_shifts.bias_of(one, norm, weights, size)
    tail = gamma if known.gained else np.ones_like(gamma)
    for made in (
        ((bias - mean) * factors) * tail + beta,
        (beta - (mean * factors) * tail) + (bias * factors) * tail,
    ):
        there = np.isfinite(factors)
        same = made == got
        off = there & ~same
        if (same & there).sum() >= max(FEWEST, NEARLY * size):
            return wrong_of(off, made)
    return None


def _wrong(
    off: Array, made: Array, shape: tuple[int, ...], axis: int, order: tuple[int, ...]
) -> Wrong | None:
    """Elements by their places in the constant, from those by channel."""
    moved = [shape[axis], *(n for i, n in enumerate(shape) if i != axis)]

    def placed(array: Array) -> Array:
        return np.asarray(np.moveaxis(array.reshape(moved), 0, axis).transpose(order).reshape(-1))

    return wrong_of(placed(off), placed(made))


def _orders(weight: tuple[int, ...], stored: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Permutations of a weight's axes that give the stored sizes, axes of one element left out."""
    wanted = [n for n in stored if n > 1]
    for order in itertools.permutations(range(len(weight))):
        if [weight[i] for i in order if weight[i] > 1] == wanted:
            yield order
