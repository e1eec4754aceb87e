"""What converters compute of a model's weights before they store them: the numbers to expect.

A batch norm (Ioffe, Szegedy, 2015) at inference is `x * s + t` with `s = gamma / sqrt(variance + eps)` and
`t = beta - mean * s`; a layer before it with weight `w` and bias `b` becomes one with
`w * s` and `b * s + t`.
A recurrent layer's two biases are added, attention's joint projection is cut in three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Norm
from buildsys.verify.weights.numbers.axis_orders import is_vector, spread
from buildsys.verify.weights.numbers.sampled import Room

Array = NDArray[Any]

EPSILON = 2.0**-24
"""Half a unit in the last place of float32, relative."""
PLACES = 32
"""Elements that tell which bias a norm was folded into."""
LIKELY = 0.5
"""The part of them that must agree."""
ROUNDINGS = 6.0
"""How many roundings of float32 a folded number may have gone through."""
PARTS = {"in_proj_weight": 3, "in_proj_bias": 3}
GATES = {"weight_ih": (4, 3), "weight_hh": (4, 3), "bias_ih": (4, 3), "bias_hh": (4, 3)}
"""Into how many equal parts a weight may be cut, by the head of its last name."""


ORDERS = {
    "LSTM": (0, 3, 1, 2),  # ONNX: input, output, forget, cell.
    "GRU": (1, 0, 2),  # ONNX: update, reset, hidden.
    "LSTMSequence": (1, 0, 2, 3),  # OpenVINO: forget, input, cell, output.
    "LSTMCell": (1, 0, 2, 3),
    "GRUSequence": (1, 0, 2),
    "GRUCell": (1, 0, 2),
    "lstm": (0, 1, 3, 2),  # Core ML: input, forget, output, cell.
}
"""The order of a recurrent weight's gates that an operation takes, as places of PyTorch's, which are
input, forget, cell, output, or reset, update, new."""


@dataclass(frozen=True)
class Expected:
    """Numbers that a converter may store.

    Attributes:
        of: The weights that they are computed from.
        values: In float64.
        slack: How far rounding may have taken each of them: absolute, of `values`' shape.
        eps: Of the batch norm that was folded.
    """

    of: tuple[str, ...]
    values: Array
    slack: Array | float = 0.0


@dataclass(frozen=True)
class Scaling:
    """The factors of a batch norm, one a channel, and which weights they come from."""

    of: tuple[str, ...]
    factors: Array


def scalings(
    norms: Sequence[Norm], weights: Mapping[str, Array], *, vectors: bool = True
) -> Iterator[Scaling]:
    """The factors of every batch norm, for every eps that it may have; then all other vectors.

    Among these are the gains of layer norms and layer scales, which converters multiply into the
    layer after or before.
    """
    for norm in norms:
        if norm.variance not in weights:
            continue
        variance = weights[norm.variance].astype(np.float64)
        gamma = weights.get(norm.gamma or "", np.ones(variance.shape)).astype(np.float64)
        names = tuple(n for n in (norm.gamma, norm.variance) if n in weights and n)
        for eps in norm.eps:
            yield Scaling(names, gamma / np.sqrt(variance + eps))
    for name, array in weights.items() if vectors else ():
        if is_vector(array):
            yield Scaling((name,), array.astype(np.float64).reshape(-1))


def through(name: str, added: str, weights: Mapping[str, Array]) -> Iterator[Expected]:
    """The biases of a linear layer that what is added before it was moved through: `w @ shift + b`.

    Args:
        name: The layer's weight.
        added: What is added: the shift of a norm, the bias of the layer before.
        weights: By name.
    """
    shift = weights.get(added)
    weight = weights[name]
    if shift is None or added == name or weight.ndim < 2 or weight.shape[1] != shift.size:
        return
    matrix = weight.astype(np.float64).reshape(weight.shape[0], weight.shape[1], -1).sum(axis=2)
    moved = matrix @ shift.astype(np.float64).reshape(-1)
    room = np.abs(matrix) @ np.abs(shift.astype(np.float64).reshape(-1))
    of = (name, added)
    yield Expected(of, moved, _slack(room))
    bias = name.removesuffix("weight") + "bias"
    if bias in weights and weights[bias].size == moved.size:
        own = weights[bias].astype(np.float64).reshape(-1)
        yield Expected((bias, *of), moved + own, _slack(room + np.abs(own)))


def vectors(norms: Sequence[Norm], weights: Mapping[str, Array], size: int) -> Iterator[Expected]:
    """Vectors of so many elements that folding makes of norms alone: factors and shifts."""
    for norm in norms:
        if norm.variance in weights and weights[norm.variance].size == size:
            yield from _of_norm(norm, weights)


def _of_norm(norm: Norm, weights: Mapping[str, Array]) -> Iterator[Expected]:
    variance, mean, gamma, beta = _numbers(norm, weights)
    factor = tuple(n for n in (norm.gamma, norm.variance) if n in weights and n)
    yield Expected((norm.mean,), -mean, 0.0)
    for eps in norm.eps:
        deviation = np.sqrt(variance + eps)
        scale = gamma / deviation
        yield Expected(factor, scale, _slack(scale))
        for plain in (variance + eps, deviation, 1 / deviation):
            yield Expected((norm.variance,), plain, _slack(plain))
        size = np.abs(beta) + np.abs(mean * scale)
        yield Expected(_every(norm, weights), beta - mean * scale, _slack(size))


def _numbers(norm: Norm, weights: Mapping[str, Array]) -> tuple[Array, Array, Array, Array]:
    """Variance, mean, gamma and beta of a norm in float64; what it has none of changes nothing."""
    variance = weights[norm.variance].astype(np.float64).reshape(-1)
    zeros = np.zeros(variance.shape)
    others = ((norm.mean, zeros), (norm.gamma, zeros + 1), (norm.beta, zeros))
    found = [weights.get(name or "", default) for name, default in others]
    mean, gamma, beta = (each.astype(np.float64).reshape(-1) for each in found)
    return variance, mean, gamma, beta


def _every(norm: Norm, weights: Mapping[str, Array]) -> tuple[str, ...]:
    parts_ = (norm.gamma, norm.variance, norm.mean, norm.beta)
    return tuple(name for name in parts_ if name and name in weights)


@dataclass(frozen=True)
class _Term:
    """What may be made of a vector: `(vector - level) * scale + shift`, by these weights."""

    of: tuple[str, ...]
    scale: Array
    shift: Array
    level: Array


class Vectors:
    """Vectors that were multiplied with another one, and shifted, on their way into an artifact.

    A bias before a norm becomes `beta + (bias - mean) * s`; one before a layer scale, and the weight of a
    convolution with one element a channel, are multiplied. Any bias may be before any norm of its size, so
    a few elements of all of them are compared with what is stored before a pair is reckoned.

    Args:
        norms: The model's norms.
        weights: Its weights.
        size: Elements of a vector.
    """

    def __init__(self, norms: Sequence[Norm], weights: Mapping[str, Array], size: int) -> None:
        self._weights = weights
        sized = {name: array for name, array in weights.items() if array.size == size}
        own = {part for n in norms for part in (n.gamma, n.beta, n.mean, n.variance) if part}
        biases = [name for name in sized if name.rpartition(".")[2].startswith("bias")]
        kernels = [name for name, a in sized.items() if a.ndim > 2 and len(a) == size]
        self._places = spread(size, PLACES)
        shifted: list[_Term] = []
        scaled: list[_Term] = []
        nothing = np.zeros(size)
        for norm in norms:
            if norm.variance not in sized:
                continue
            variance, mean, gamma, beta = _numbers(norm, weights)
            factor = tuple(n for n in (norm.gamma, norm.variance) if n in weights and n)
            for eps in norm.eps:
                scale = gamma / np.sqrt(variance + eps)
                shifted.append(_Term(_every(norm, weights), scale, beta, mean))
                scaled.append(_Term(factor, scale, nothing, nothing))
        for name, array in sized.items():
            if name not in own and name not in biases and name not in kernels:
                vector = array.astype(np.float64).reshape(-1)
                scaled.append(_Term((name,), vector, nothing, nothing))
        self._sets = [
            (shifted, biases, self._table(biases)),
            (scaled, kernels + biases, self._table(kernels + biases)),
        ]

    @property
    def cost(self) -> int:
        """How many elements one look takes."""
        return sum(len(terms) * table.size for terms, _, table in self._sets)

    def _table(self, names: Sequence[str]) -> Array:
        picked = [self._weights[n].astype(np.float64).reshape(-1)[self._places] for n in names]
        return np.stack(picked) if picked else np.zeros((0, len(self._places)))

    def likely(self, stored: Array, room: Room) -> Iterator[Expected]:
        """What folding makes of the pairs that a few elements do not rule out.

        Args:
            stored: The numbers of a constant.
            room: How far its type may have taken those at some places.
        """
        wanted = stored[self._places].astype(np.float64)
        near = room(self._places)
        for terms, names, table in self._sets:
            for term in terms if names else ():
                parts_ = (term.scale, term.shift, term.level)
                scale, shift, level = (each[self._places] for each in parts_)
                made = shift + (table - level) * scale
                size = np.abs(shift) + np.abs(level * scale) + np.abs(table * scale)
                share = (np.abs(made - wanted) <= near + _slack(size)).mean(axis=1)
                for which in np.flatnonzero(share >= min(LIKELY, 1 - 1.5 / len(wanted))):
                    if names[int(which)] not in term.of:
                        yield self._made(names[int(which)], term)

    def _made(self, name: str, term: _Term) -> Expected:
        own = self._weights[name].astype(np.float64).reshape(-1)
        room = np.abs(term.shift) + np.abs(term.level * term.scale) + np.abs(own * term.scale)
        return Expected(
            (name, *term.of), term.shift + (own - term.level) * term.scale, _slack(room)
        )


def sums(weights: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """A recurrent layer's two biases, added in float32, by the names of both."""
    for name, bias in weights.items():
        other = name.replace("bias_ih", "bias_hh")
        if other != name and other in weights and weights[other].shape == bias.shape:
            yield f"{name} + {other}", bias + weights[other]


def _slack(sizes: Array) -> Array:
    """What rounding does to a sum of numbers of these sizes."""
    return np.asarray(np.abs(sizes) * (ROUNDINGS * EPSILON))


def parts(name: str, values: Array) -> Iterator[tuple[str, Array]]:
    """The parts that a joint weight may be cut into, named as Python would: `weight[0:8]`."""
    last = name.rpartition(".")[2]
    counts: tuple[int, ...] = ()
    if last in PARTS:
        counts = (PARTS[last],)
    for head, possible in GATES.items():
        if last.startswith(head):
            counts = possible
    for count in counts:
        if values.ndim and len(values) % count == 0:
            step = len(values) // count
            for start in range(0, len(values), step):
                yield f"{name}[{start}:{start + step}]", values[start : start + step]


def reordered(name: str, weights: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """A recurrent weight with its gates in the orders of the formats, and both directions in one."""
    if not name.rpartition(".")[2].startswith(tuple(GATES)):
        return
    for order in dict.fromkeys(ORDERS.values()):
        found = _in_order(weights[name], order)
        if found is not None:
            yield name, found
            back = weights.get(" + ".join(f"{part}_reverse" for part in name.split(" + ")))
            if back is not None and back.shape == found.shape:
                other = _in_order(back, order)
                if other is not None:
                    yield name, np.stack([found, other])


def _in_order(weight: Array, order: Sequence[int]) -> Array | None:
    if len(weight) % len(order):
        return None
    gates = np.split(weight, len(order))
    return np.concatenate([gates[place] for place in order])
