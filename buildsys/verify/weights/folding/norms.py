"""Batch norms that were folded into the layer before, to the last bit.

Rounding alone may move a folded number by several units in its last place, and would hide as many flipped
bits. But converters reckon in float32, one factor a channel: `w * s` with `s = gamma / sqrt(variance + eps)`
(PyTorch's exporter to ONNX, coremltools), or `(w * r) * gamma` with `r = 1 / sqrt(variance + eps)`
(litert-torch). The factor's own last bits are found by trying: the elements of a channel leave one choice.
With it the shift of the channel is one number as well: `(bias - mean) * s + beta`. Where the layer is kept
in a narrower type than its bias, all such biases together tell how they were reckoned; see `shifts`.

A weight that is multiplied by one number (a scale of attention's) is a case of the same.

So where nearly all numbers of a tensor are exactly these, the others were altered. A factor that was reckoned
in float64 is not a number of float32, but it is one number still, and each product is rounded once; see
`one_factor`. Where a converter reckoned otherwise nothing is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Norm, Weights
from buildsys.verify.weights.folding import shifts
from buildsys.verify.weights.folding.shifts import Folded, Wrong, wrong_of
from buildsys.verify.weights.numbers import one_factor
from buildsys.verify.weights.numbers.proportion import proportional

Array = NDArray[Any]

STEPS = 8
"""How many units in the last place a factor may be from what float64 gives."""
MOST_AXES = 5
NEARLY = 0.75
"""The part of the channels that must be explained to the last bit before a way of reckoning is known."""
FIRST = 64
"""Elements of a channel that are looked at before all of them are."""
FEWEST = 4
"""Channels, and elements of a channel, that tell a way of reckoning from chance."""
FEW = 0.25
"""The part of a channel's elements that may be altered."""
SINGLE = 4
"""Elements that may be altered in their last bits: more are how a converter rounds."""
PEERS = 3
"""Layers that keep to float32's arithmetic to the last bit where another one may be held to it."""
COARSE = 1e-3
"""How far from proportional rounding leaves a channel, and far less than another order of axes."""


@dataclass(frozen=True)
class _Factors:
    """What the elements of a layer tell of its norm: one factor a channel, NaN where they tell none."""

    norm: Norm
    gained: bool
    values: Array


@dataclass(frozen=True)
class _Layer:
    """What is off of a folded layer.

    Attributes:
        known: Whether float32's own arithmetic makes nearly all of it.
        strict: What that does not make.
        real: What no one factor and one rounding make.
        factors: Where float32's arithmetic makes it.
        count: How many elements are off.
    """

    known: bool
    strict: Wrong | None
    real: Wrong | None
    factors: _Factors | None
    count: int = 0


def altered(found: Sequence[Folded], model: Weights) -> dict[int, Wrong]:
    """Looks at folded constants once more, to the last bit.

    What differs in the last bits here and there in an artifact is how its converter rounds, and no
    damage: it is damage in one constant, where all others are as they should be.

    Returns:
        By the place in `found`: what is altered of those that are known to be off.
    """
    weights = {tensor.name: tensor.decoded for tensor in model.tensors}
    layers: dict[int, _Layer] = {}
    for place, one in enumerate(found):
        if one.stored.storage != "float32":
            continue
        made = _of_scale(one, weights)
        if made is None and _layer(one, weights) is not None:
            made = _of_layer(one, _norm(one, model, weights), weights)
        if made is not None:
            layers[place] = made
    known = [layer.factors for layer in layers.values() if layer.factors is not None]
    shifted: dict[int, Wrong] = {}
    for place, one in enumerate(found):
        norm = _norm(one, model, weights)
        if norm is None or _layer(one, weights) is not None:
            continue
        for factors in known:
            off = _of_shift(one, factors, weights) if factors.norm == norm else None
            if off is not None:
                shifted[place] = off
    sure = {factors.norm.variance for factors in known}
    shifted |= shifts.altered(found, model, weights, sure)
    return _alone(layers) | _if_alone(shifted)


def _alone(layers: Mapping[int, _Layer]) -> dict[int, Wrong]:
    """What is off in one layer alone: by float32's arithmetic where others keep to it, else by any."""
    strict = {place: one.strict for place, one in layers.items() if one.strict is not None}
    # A factor that is reckoned in float64 may be so near to one of float32 that few elements tell.
    excused = {place for place in strict if layers[place].real is None}
    peers = sum(one.known and one.strict is None for one in layers.values())
    if len(strict) == 1 and (not excused or peers >= PEERS):
        return _if_alone(strict)
    return _if_alone({place: one.real for place, one in layers.items() if one.real is not None})


def _if_alone(wrong: Mapping[int, Wrong]) -> dict[int, Wrong]:
    """The same where it is one constant, and little of it; else nothing."""
    return {
        place: one for place, one in wrong.items() if len(wrong) == 1 and len(one.places) <= SINGLE
    }


def _norm(one: Folded, model: Weights, weights: Mapping[str, Array]) -> Norm | None:
    if one.stored.storage != "float32":
        return None  # What a narrower type holds of a number hides its last bits anyway.
    norms = (n for n in model.norms if n.variance in one.of and n.variance in weights)
    return next(norms, None)


def _layer(one: Folded, weights: Mapping[str, Array]) -> Array | None:
    """The layer's weight, of those that a constant is made of."""
    large = (weights[name] for name in one.of if name in weights and weights[name].ndim > 1)
    return next((w for w in large if w.size == one.stored.values.size), None)


def _of_layer(one: Folded, norm: Norm | None, weights: Mapping[str, Array]) -> _Layer | None:
    """What tells of a folded layer how it was reckoned; `None` where it was in no way that is known."""
    weight = _layer(one, weights)
    if weight is None or weight.ndim > MOST_AXES:
        return None
    weight = weight.astype(np.float32)
    found: _Layer | None = None
    for order, axis in itertools.product(_orders(weight.shape, one.stored.values.shape), (0, 1)):
        rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        turned = one.stored.values.reshape([weight.shape[i] for i in order])
        got = np.moveaxis(turned.transpose(np.argsort(order)), axis, 0).reshape(rows.shape)
        if rows.shape[1] < FEWEST or not _fits(rows, got):
            continue
        placed = partial(_wrong, shape=weight.shape, axis=axis, order=order)
        off, factors = one_factor.off(rows, got)
        if norm is not None and weights[norm.variance].size == len(rows):
            strict = _strict(rows, got, norm, weights)
            gamma = shifts.vector(norm.gamma, weights, 1.0, len(rows))
            if off.any():
                again, others = one_factor.off(rows * gamma[:, None], got)
                if again.sum() < off.sum():
                    off, factors = again, others * gamma
            if strict is not None:
                wrong, made, told = strict
                least = off if off.sum() < wrong.sum() else wrong
                exact = rows * factors[:, None] if least is off else made
                return _Layer(True, placed(wrong, made), placed(least, exact), told)
        if (off.mean(axis=1) <= FEW).mean() < NEARLY:
            continue
        # A channel that is off as a whole was reckoned otherwise.
        off &= off.mean(axis=1, keepdims=True) <= FEW
        count = int(off.sum())
        if found is None or count < found.count:
            wrong_ = placed(off, (rows * factors[:, None]).astype(np.float32))
            found = _Layer(False, wrong_, wrong_, None, count)
    return found


def _fits(rows: Array, got: Array) -> bool:
    """Whether the first channels may be products of the rows': this rules out most orders of axes."""
    rows, got = rows[:FEWEST], got[:FEWEST]
    return proportional(rows.astype(np.float64), got.astype(np.float64), COARSE)


def _strict(
    rows: Array, got: Array, norm: Norm, weights: Mapping[str, Array]
) -> tuple[Array, Array, _Factors] | None:
    """Elements that float32's arithmetic does not make, what it makes, and its factors."""
    variance = weights[norm.variance].astype(np.float64)
    gamma = shifts.vector(norm.gamma, weights, 1.0, variance.size)
    best: tuple[int, tuple[Array, Array, _Factors]] | None = None
    for eps, gained in itertools.product(norm.eps, (False, True)):
        root = np.sqrt(variance + eps)
        start = (1 / root if gained else gamma / root).astype(np.float32)
        tail = gamma if gained else None
        # A channel that is not whole in its first elements is not whole: most other ways end here.
        _, made = _tried(rows[:, :FIRST], got[:, :FIRST], start, tail)
        if not _mostly_whole(made == got[:, :FIRST]):
            continue
        factors, made = _tried(rows, got, start, tail)
        same = made == got
        if not _mostly_whole(same):
            continue
        few = (~same).mean(axis=1) <= FEW
        # A channel that is off as a whole was reckoned otherwise.
        off = ~same & few[:, None]
        told = _Factors(norm, gained, np.where(few, factors, np.float32(np.nan)))
        if best is None or off.sum() < best[0]:
            best = int(off.sum()), (off, made, told)
        if not off.any():
            break
    return None if best is None else best[1]


def _mostly_whole(same: Array) -> bool:
    return bool(np.count_nonzero(same.all(axis=1)) >= max(FEWEST, NEARLY * len(same)))


def _tried(rows: Array, got: Array, start: Array, tail: Array | None) -> tuple[Array, Array]:
    """The factor of each channel that makes most of its elements, and what it makes of all of them."""
    best = np.full(len(rows), -1)
    factors, made = start.copy(), np.zeros_like(rows)
    left = np.arange(len(rows))
    for steps in sorted(range(-STEPS, STEPS + 1), key=abs):
        tried = (start[left].view(np.int32) + steps).view(np.float32)
        product = rows[left] * tried[:, None]
        if tail is not None:
            product = product * tail[left, None]
        same = np.equal(product, got[left]).sum(axis=1)
        better = same > best[left]
        rows_better = left[better]
        best[rows_better], factors[rows_better] = same[better], tried[better]
        made[rows_better] = product[better]
        left = left[best[left] < rows.shape[1]]  # A channel that is whole cannot be made better.
        if not len(left):
            break
    return factors, made


def _of_scale(one: Folded, weights: Mapping[str, Array]) -> _Layer | None:
    """A weight times one factor, the same for all of it: that of attention, say."""
    weight = weights.get(one.of[0]) if len(one.of) == 1 else None
    if weight is None or weight.size != one.stored.values.size or weight.size < FEWEST:
        return None
    got = one.stored.values.reshape(1, -1)
    for order in _orders(weight.shape, one.stored.values.shape):
        row = weight.astype(np.float32).transpose(order).reshape(1, -1)
        if weight.ndim > MOST_AXES or not _fits(row, got):
            continue
        off, factor = one_factor.off(row, got)
        if off.mean() <= FEW:
            wrong = wrong_of(off[0], (row * factor[:, None]).astype(np.float32)[0])
            return _Layer(False, wrong, wrong, None)
    return None


def _of_shift(one: Folded, known: _Factors, weights: Mapping[str, Array]) -> Wrong | None:
    """A folded bias: what the factors of its layer make of it."""
    norm, factors = known.norm, known.values
    got = one.stored.values.reshape(-1)
    size = factors.size
    if got.size != size:
        return None
    gamma, beta, mean = shifts.of_norm(norm, weights, size)
    bias = shifts.bias_of(one, norm, weights, size)
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
    """Permutations of a weight's axes that give the stored sizes, axes of one element left out.

    Those that differ in where axes of one element stand place all elements alike: one of them is given.
    """
    wanted = [n for n in stored if n > 1]
    single = tuple(i for i, n in enumerate(weight) if n == 1)
    for order in itertools.permutations(i for i, n in enumerate(weight) if n > 1):
        if [weight[i] for i in order] == wanted:
            yield (*single, *order)
