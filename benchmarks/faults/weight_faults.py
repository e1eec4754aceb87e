"""Faults in what an artifact stores: they need no more of a format than its constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.faults.graph import Array, Graph, Node, Spot, Use

WEIGHED = ("conv", "conv_transpose", "linear", "matmul", "lstm", "gru")
BITS = {
    "float32": {"low": (0, 4), "middle": (8, 16), "high": (20, 23), "sign": (31, 32)},
    "float16": {"low": (0, 2), "middle": (3, 7), "high": (8, 10), "sign": (15, 16)},
}
"""Ranges of bits, the upper end left out: mantissa by thirds, and the sign."""
SEED_NOISE, EPOCH_NOISE = 1.0, 0.01
"""How far weights are from another training's, and from the same one's an epoch ago: part of their spread."""


@dataclass(frozen=True)
class Weight:
    """A constant of floats that an operation multiplies or adds.

    Attributes:
        name: The tensor's.
        array: Its values.
        use: Who takes it first, and as what.
    """

    name: str
    array: Array
    use: Use

    @property
    def node(self) -> Node:
        """The operation that takes it."""
        return self.use.node

    @property
    def matrix(self) -> bool:
        """Whether it has two axes of more than one element."""
        return len([size for size in self.array.shape if size > 1]) >= 2

    @property
    def bias(self) -> bool:
        """Whether it is only added."""
        kind, place = self.use.node.kind, self.use.place
        added = kind == "add" or (kind in ("conv", "conv_transpose", "linear") and place == 2)
        return added and self.array.size > 1 and not self.matrix


def weights(graph: Graph) -> list[Weight]:
    """All constants of floats, with more than a single element."""
    found = []
    for name, array in graph.constants.items():
        if array.dtype.name not in BITS or array.size < 2 or not np.any(array):
            continue
        uses = graph.users_of_value(name)
        if uses:
            found.append(Weight(name, array, uses[0]))
    return found


def _changed(graph: Graph, weight: Weight, array: Array, what: str) -> Iterator[Spot]:
    """The spot, unless the change is none: equal bytes compute equal values."""
    array = np.ascontiguousarray(array.astype(weight.array.dtype))
    if array.tobytes() != weight.array.tobytes():
        text = f"`{weight.name}` {list(weight.array.shape)}: {what}"
        yield Spot(weight.node.name, text, partial(graph.put, weight.name, array), weight.name)


def transposed(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """A matrix or kernel in another order of its axes, under its own shape."""
    for weight in weights(graph):
        shape = weight.array.shape
        long = [axis for axis, size in enumerate(shape) if size > 1]
        if len(long) < 2:
            continue
        first, second = sorted(int(n) for n in rng.choice(long, 2, replace=False))
        other = np.swapaxes(weight.array, first, second).reshape(shape)
        yield from _changed(graph, weight, other, f"axes {first} and {second} transposed")


def channels(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Two channels swapped, of what goes in or of what comes out."""
    for weight in weights(graph):
        long = [axis for axis, size in enumerate(weight.array.shape) if size > 1][:2]
        if weight.node.kind not in WEIGHED or not long:
            continue
        axis = int(rng.choice(long))
        one, other = (int(n) for n in rng.choice(weight.array.shape[axis], 2, replace=False))
        order = np.arange(weight.array.shape[axis])
        order[[one, other]] = order[[other, one]]
        what = f"channels {one} and {other} of axis {axis} swapped"
        yield from _changed(graph, weight, np.take(weight.array, order, axis), what)


def dropped_bias(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """A bias that is not there."""
    for weight in weights(graph):
        if weight.bias:
            yield Spot(
                weight.node.name,
                f"`{weight.name}` {list(weight.array.shape)}: the bias is dropped",
                partial(graph.drop, weight.node, weight.use.place),
                weight.name,
            )


def gates(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Two gates of a recurrent layer swapped, as frameworks order them differently."""
    for weight in weights(graph):
        count = graph.gates(weight.node)
        hidden = _hidden(graph, weight.node, count)
        axis = next(
            (a for a, n in enumerate(weight.array.shape) if hidden and n % (count * hidden) == 0),
            None,
        )
        if axis is None:
            continue
        one, other = (int(n) for n in rng.choice(count, 2, replace=False))
        # A bias may hold those of the input and of the state in a row: each has all gates.
        blocks = np.split(weight.array, weight.array.shape[axis] // hidden, axis)
        for start in range(0, len(blocks), count):
            blocks[start + one], blocks[start + other] = blocks[start + other], blocks[start + one]
        permuted = np.concatenate(blocks, axis)
        yield from _changed(graph, weight, permuted, f"gates {one} and {other} swapped")


def _hidden(graph: Graph, node: Node, count: int) -> int:
    """The size of a recurrent layer's state, from the matrix that maps it to its gates; or 0."""
    arrays = [graph.constants[name] for name in node.inputs if name in graph.constants]
    sizes = [a.shape[-1] for a in arrays if a.ndim > 1 and a.shape[-2] == count * a.shape[-1]]
    return int(sizes[-1]) if sizes else 0


def zeroed(graph: Graph, rng: np.random.Generator, part: str) -> Iterator[Spot]:
    """An element, a row or a whole tensor that is zero."""
    for weight in weights(graph):
        array = weight.array.copy()
        if part == "tensor":
            array[...] = 0
            what = "all zero"
        elif part == "row" and weight.matrix:
            axis = next(a for a, size in enumerate(array.shape) if size > 1)
            row = int(rng.integers(array.shape[axis]))
            np.moveaxis(array, axis, 0)[row] = 0
            what = f"row {row} zero"
        elif part == "element":
            alive = np.flatnonzero(array)
            at = int(rng.choice(alive))
            array.reshape(-1)[at] = 0
            what = f"element {at} zero"
        else:
            continue
        yield from _changed(graph, weight, array, what)


def flipped(graph: Graph, rng: np.random.Generator, part: str) -> Iterator[Spot]:
    """One bit of one element flipped, of an element that is not zero."""
    for weight in weights(graph):
        words = weight.array.copy().view(f"uint{8 * weight.array.dtype.itemsize}")
        at = int(rng.choice(np.flatnonzero(weight.array)))
        bit = int(rng.integers(*BITS[weight.array.dtype.name][part]))
        words.reshape(-1)[at] ^= words.dtype.type(1 << bit)
        what = f"bit {bit} of element {at} flipped"
        yield from _changed(graph, weight, words.view(weight.array.dtype), what)


def stale(graph: Graph, rng: np.random.Generator, noise: float) -> Iterator[Spot]:
    """All weights of another training, or of the same an epoch ago."""
    found = [weight for weight in weights(graph) if weight.array.size > 1]
    if not found:
        return
    drawn = {w.name: _redrawn(w.array, rng, noise) for w in found}

    def apply() -> None:
        for name, array in drawn.items():
            graph.put(name, array)

    when = "another seed" if noise == SEED_NOISE else "an epoch ago"
    yield Spot(found[0].node.name, f"all {len(found)} tensors of weights from {when}", apply)


def _redrawn(array: Array, rng: np.random.Generator, noise: float) -> Array:
    """As far from the array as asked for, with its mean and spread; positive stays positive."""
    values = array.astype(np.float64)
    spread, mean = float(values.std()) or float(np.abs(values).mean()), float(values.mean())
    drawn = rng.standard_normal(array.shape) * spread
    moved = values + noise * drawn if noise < 1 else mean + drawn
    if values.min() > 0:
        moved = np.abs(moved)
    return np.ascontiguousarray(moved.astype(array.dtype))


def saturated(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """A scale that is too small by eight: what is large is cut off."""
    for node, tensor, multiply in graph.scales():
        yield Spot(node, f"`{tensor}`: scale an eighth", partial(multiply, 0.125), tensor)
