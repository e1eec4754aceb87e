"""The model's weights as an artifact in float16 holds them: in the model's own names, axes and units.

Rounding weights costs an artifact some 1e-3, and what a wrong operation does below that is not seen. But
what they cost is no mystery: the original, given the very weights that the artifact holds and run in
float32, has the same error, and what is left between the two is the graph alone. So each constant in
float16 is taken back to the weights that it is made of: rounded ones as they are, a folded layer divided by
the factors of its norm, and what rounding did to a folded bias added to the norm's shift.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Norm, Stored, Weights
from buildsys.verify.weights.match import (
    ALTERED,
    EXACT,
    FOLDED,
    QUANTIZED,
    REARRANGED,
    ROUNDED,
    UNEXPLAINED,
    Match,
)
from buildsys.verify.weights.numbers.axis_orders import is_vector, orders
from buildsys.verify.weights.numbers.fingerprints import TINY_HALF, rounded
from buildsys.verify.weights.numbers.proportion import telling

Array = NDArray[Any]

NARROW = "float16"
SUM = " + "
NEAR = 2.0**-9
"""How far rounding to float16 takes a number at most, relative to the largest of its kind."""

LEAST_NORMAL = 2.0**-14
"""Smaller numbers of float16 have fewer bits than its others."""


class NotKnown(Exception):
    """What a constant says of the model's weights is not known; `args[0]` is the reason."""


def held(
    found: Sequence[tuple[Stored, Match]], model: Weights
) -> tuple[dict[str, Array], str | None]:
    """The weights that an artifact computes with, where these are not the model's own.

    Args:
        found: Its constants, explained.
        model: The model's weights.

    Returns:
        By name, in float32; and why they are not known, or `None`.
    """
    weights = {tensor.name: tensor.decoded for tensor in model.tensors}
    kept = {
        name
        for stored, match in found
        if match.kind == EXACT and not _narrow(stored)
        for name in match.of
    }
    made: dict[str, Array] = {}
    try:
        _check_unexplained(found)
        for stored, match in found:
            for name, values in _taken_back(stored, match, model, weights):
                _put(made, name, values, weights)
        for name, values in _of_shifts(found, made, weights):
            _put(made, name, values, weights)
        _spread_to_twins(found, made, kept, weights)
    except NotKnown as reason:
        return {}, str(reason)
    both = sorted(kept & set(made))
    if both:
        return {}, f"`{both[0]}` is in the artifact twice, once rounded and once not"
    return made, None


def _spread_to_twins(
    found: Sequence[tuple[Stored, Match]],
    made: dict[str, Array],
    kept: Collection[str],
    weights: Mapping[str, Array],
) -> None:
    """Gives vectors of equal numbers the same rounded ones, where a constant is named after one of them.

    Layer scales of blocks that were never trained are all 1e-5, and a constant is any of them.

    Raises:
        NotKnown: Some of them were folded into layers, and are no constants any more: which is not known.
    """
    folded = {name for _, match in found if match.kind == FOLDED for name in match.of[1:]}
    twins: dict[tuple[tuple[int, ...], bytes], list[str]] = {}
    for name, values in weights.items():
        if is_vector(values):
            twins.setdefault((values.shape, values.tobytes()), []).append(name)
    for name in [name for name in made if name in weights and is_vector(weights[name])]:
        values = made[name]
        if not np.array_equal(values, rounded(weights[name], NARROW)):
            continue  # It has what rounding did to something else.
        equal = twins[weights[name].shape, weights[name].tobytes()]
        if folded.intersection(equal) and not np.array_equal(values, weights[name]):
            raise NotKnown(
                f"`{name}` and others are equal, and some of them were folded into layers"
            )
        made |= dict.fromkeys((twin for twin in equal if twin not in {*kept, *made}), values)


def rounded_numbers(artifact: Weights) -> list[tuple[str, float]]:
    """Single numbers in float16 that may have been rounded, and their names: scales, epsilons.

    They are no weights: a converter makes them of what the model's code says. NaN stands for one that the
    artifact holds in a wider type as well, so that it is not known which of the two an operation takes.
    """
    single = [
        (t.name, t.storage == NARROW, float(t.values.reshape(-1)[0]))
        for t in artifact.tensors
        if t.values.size == 1
    ]
    wide = {float(np.float16(v)) for _, narrow, v in single if not narrow and _fits(v)}
    return [
        (name, np.nan if value in wide else value)
        for name, narrow, value in single
        if narrow and not _simple(value)
    ]


def _fits(number: float) -> bool:
    """Whether a number is in the range of float16."""
    return abs(number) <= float(np.finfo(np.float16).max)


def _simple(number: float) -> bool:
    """Whether a number has so few bits that it is what it was: 0, 6, -10000, infinity."""
    if not np.isfinite(number) or number == int(number):
        return True
    return abs(number) >= LEAST_NORMAL and (np.frexp(number)[0] * 64) % 1 == 0


def _of_shifts(
    found: Sequence[tuple[Stored, Match]],
    made: Mapping[str, Array],
    weights: Mapping[str, Array],
) -> Iterator[tuple[str, Array]]:
    """Biases that a norm's shift went through before the matrix was rounded: what they leave for the bias."""
    for stored, match in found:
        matrix = next((name for name in match.of if name in made and made[name].ndim > 1), None)
        if match.kind != FOLDED or matrix is None or stored.values.ndim != 1:
            continue
        vectors = [name for name in match.of if weights.get(name, made[matrix]).ndim == 1]
        if len(vectors) != 2 or made[matrix].ndim != 2:
            raise NotKnown(f"`{stored.name}` was reckoned with `{matrix}` before that was rounded")
        bias, shift = vectors
        added = made.get(shift, weights[shift]).astype(np.float64)
        moved = made[matrix].astype(np.float64) @ added
        yield bias, stored.values.astype(np.float64) - moved


def _check_unexplained(found: Sequence[tuple[Stored, Match]]) -> None:
    """Refuses what no weight explains: it may have been reckoned with a weight before that was rounded.

    Raises:
        NotKnown: There is such a constant.
    """
    for stored, match in found:
        # Zeros, ones and powers of two are what they are in any type.
        if match.kind == UNEXPLAINED and telling(stored.values):
            raise NotKnown(f"no weight of the model explains `{stored.name}`")


def narrowed(array: Array) -> Array:
    """The same numbers in float16 where they are all of its own: large models take enough room as it is."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _narrow(stored: Stored) -> bool:
    """Whether its numbers were rounded, be they kept in a wider type."""
    if stored.storage == NARROW:
        return True
    return stored.storage == "float32" and narrowed(stored.values).dtype == np.float16


def _taken_back(
    stored: Stored, match: Match, model: Weights, weights: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    kind, of = match.kind, match.of
    if kind in (ALTERED, QUANTIZED):
        raise NotKnown(f"`{stored.name}` is {kind}")
    if kind == UNEXPLAINED or not _narrow(stored):
        return
    if kind in (EXACT, ROUNDED, REARRANGED):
        sums = [name for name in of if SUM in name]
        if sums and len(of) > 1:
            raise NotKnown(f"`{stored.name}` holds sums of weights beside the weights")
        for name in of:
            if SUM in name:
                yield _addend(name, weights)
            else:
                yield name, rounded(_part(name, weights), NARROW)
        return
    assert kind == FOLDED
    yield _unfolded(stored, of, model, weights)


def _addend(name: str, weights: Mapping[str, Array]) -> tuple[str, Array]:
    """The first of two biases, such that the sum is the rounded one."""
    pair, rows = _place(name)
    one, other = pair.split(SUM)
    if rows is not None:
        raise NotKnown(f"a part of `{one}` and `{other}` is rounded")
    total = rounded(weights[one] + weights[other], NARROW).astype(np.float32)
    return one, total - weights[other]


def _place(name: str) -> tuple[str, slice | None]:
    """The weight that `NAME` or `NAME[FROM:TO]` is of, and which of its rows; `None` is all."""
    whole, bracket, bounds = name.partition("[")
    if not bracket:
        return whole, None
    start, end = (int(n) for n in bounds.rstrip("]").split(":"))
    return whole, slice(start, end)


def _part(name: str, weights: Mapping[str, Array]) -> Array:
    """A weight, or the part of it that is named."""
    whole, rows = _place(name)
    return weights[whole] if rows is None else weights[whole][rows]


def _put(made: dict[str, Array], name: str, values: Array, weights: Mapping[str, Array]) -> None:
    """Adds a weight or a part of one.

    Raises:
        NotKnown: Another constant says something else of it.
    """
    whole, rows = _place(name)
    values = np.asarray(values, np.float32).reshape(_part(name, weights).shape)
    if rows is not None:
        made.setdefault(whole, weights[whole].astype(np.float32).copy())[rows] = values
    elif whole in made and not np.array_equal(made[whole], values, equal_nan=True):
        raise NotKnown(f"the artifact holds `{whole}` twice, and not the same")
    else:
        made[whole] = values


def _unfolded(
    stored: Stored, of: tuple[str, ...], model: Weights, weights: Mapping[str, Array]
) -> tuple[str, Array]:
    """The one weight that takes what rounding did to a folded constant."""
    norm = next((n for n in model.norms if n.variance in of and n.variance in weights), None)
    if norm is not None and len(norm.eps) > 1:
        raise NotKnown(f"the file does not say the epsilon of `{norm.module}`, which was folded")
    layer = _part(of[0], weights) if _place(of[0])[0] in weights else np.zeros(0)
    if layer.ndim > 1 and layer.size == stored.values.size:
        for factors in _factors(of[1:], norm, weights):
            found = _divided(stored, layer, factors)
            if found is not None:
                return of[0], found
    elif norm is not None and is_vector(stored.values):
        for name, expected, times in _of_norm(of, norm, weights, stored.values.size):
            got = stored.values.reshape(-1).astype(np.float64)
            if (np.abs(got - expected) <= NEAR * np.abs(expected).max(initial=0.0)).all():
                own = weights[name].astype(np.float64).reshape(-1)
                return name, own * got / expected if times else own + (got - expected)
    raise NotKnown(f"what rounding did to `{stored.name}` is in no one weight")


def _factors(of: Sequence[str], norm: Norm | None, weights: Mapping[str, Array]) -> Iterator[Array]:
    """What a layer's channels may have been multiplied with."""
    if norm is not None:
        variance = weights[norm.variance].astype(np.float64)
        gamma = weights.get(norm.gamma or "", np.ones(variance.shape)).astype(np.float64)
        yield gamma / np.sqrt(variance + norm.eps[0])
        return
    for name in of:
        if name in weights and is_vector(weights[name]):
            yield weights[name].astype(np.float64).reshape(-1)


def _divided(stored: Stored, layer: Array, factors: Array) -> Array | None:
    """A folded layer in the model's own axes and units, where these are its factors."""
    got = stored.values.astype(np.float64)
    for order, axis in itertools.product(orders(layer.shape, stored.values.shape), (0, 1)):
        if layer.shape[axis] != factors.size:
            continue
        turned = got.reshape([layer.shape[i] for i in order]).transpose(np.argsort(order))
        wide = factors.reshape([-1 if i == axis else 1 for i in range(layer.ndim)])
        off = np.abs(turned - layer * wide)
        least = TINY_HALF + NEAR * 1e-3 * np.abs(turned).max()
        if (off <= NEAR * np.abs(layer * wide) + least).all():
            dead = np.broadcast_to(wide == 0, layer.shape)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(np.where(dead, layer, turned / wide))
    return None


def _of_norm(
    of: tuple[str, ...], norm: Norm, weights: Mapping[str, Array], size: int
) -> Iterator[tuple[str, Array, bool]]:
    """A weight, what a constant of a norm's is expected to be, and whether it is proportional to it."""

    def vector(name: str | None, default: float) -> Array:
        found = weights.get(name or "")
        return np.full(size, default) if found is None else found.astype(np.float64).reshape(-1)

    own = {norm.gamma, norm.beta, norm.mean, norm.variance}
    others = [name for name in of if name not in own and name in weights]
    if any(weights[name].size != size for name in [norm.variance, *others]):
        return
    scale = vector(norm.gamma, 1.0) / np.sqrt(vector(norm.variance, 1.0) + norm.eps[0])
    if norm.mean not in of:
        if norm.gamma in of and norm.gamma is not None:
            yield norm.gamma, scale, True
    elif norm.beta is not None and norm.beta in weights:
        bias = vector(others[0], 0.0) if others else 0.0
        yield norm.beta, vector(norm.beta, 0.0) + (bias - vector(norm.mean, 0.0)) * scale, False
