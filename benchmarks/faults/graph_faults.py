"""Faults in what an artifact computes: its operations, their options and how they are joined."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.faults.graph import Graph, Node, Spot

ORDERED = ("sub", "div", "pow", "matmul", "concat")
"""Operations whose operands are not alike."""
MASK = -1e3
"""What is added to scores that a mask hides is below this."""
GUARD = (1e-7, 1.0)
"""What keeps a logarithm or a quotient from zero; a smaller one is told from zero by zero alone."""


def flattened(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Channels last where the weights that follow have been trained with channels first."""
    for node, apply in graph.before_flattening():
        yield Spot(node.name, "flattened as [N, H, W, C]: a transpose is inserted before", apply)


def wrong_epsilon(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Another framework's default."""
    for node in graph.nodes:
        epsilon = graph.epsilon(node)
        if epsilon is None:
            continue
        other = 1e-3 if 5e-6 <= epsilon.value < 5e-4 else 1e-5
        text = f"epsilon {other:g} in place of {epsilon.value:g}"
        yield Spot(node.name, text, partial(epsilon.change, other))


def swapped_operands(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Two operands in the other order."""
    for node in graph.nodes:
        if node.kind not in ORDERED or len(node.inputs) < 2:
            continue
        first, second = (int(n) for n in sorted(rng.choice(len(node.inputs), 2, replace=False)))
        if node.inputs[first] == node.inputs[second] or not _about_values(graph, node):
            continue
        if node.kind == "matmul" and any(graph.is_constant(name) for name in node.inputs):
            continue  # It would not fit: no runtime takes it.
        text = f"operands {first} and {second} of `{node.kind}` swapped"
        yield Spot(node.name, text, partial(graph.swap, node, first, second))


def _about_values(graph: Graph, node: Node) -> bool:
    """Whether an operation computes values and not sizes: sizes come out wrong loudly."""
    return all(
        graph.constants[name].dtype.kind == "f" for name in node.inputs if name in graph.constants
    ) and not graph.computes_sizes(node)


def wrong_pad(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """As much padding, one element further to the end: as strided layers of TensorFlow have it."""
    for node in graph.nodes:
        found = graph.pads(node)
        pads = found.value if found is not None else []
        if found is None:
            continue
        half = len(pads) // 2
        places = [axis for axis in range(half) if pads[axis] > 0]
        if places:
            axis = int(rng.choice(places))
            moved = list(pads)
            moved[axis], moved[half + axis] = pads[axis] - 1, pads[half + axis] + 1
            text = f"padding {moved} in place of {pads} (all begins, then all ends)"
            yield Spot(node.name, text, partial(found.change, moved))


def off_by_one(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """A slice of the same size, one element beside."""
    for node in graph.nodes:
        if node.kind in ("slice", "gather") and not graph.computes_sizes(node):
            for text, apply in graph.windows(node).items():
                yield Spot(node.name, text, apply)


def wrong_activation(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """An activation that looks alike."""
    for node in graph.nodes:
        for name, apply in graph.activations(node).items():
            yield Spot(node.name, f"`{name}` in place of `{node.kind}`", apply)


def swapped_outputs(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Two outputs, each under the other's name."""
    for second in range(1, len(graph.outputs)):
        for first in range(second):
            makers = [n for n in graph.nodes if graph.outputs[first] in n.outputs]
            text = f"outputs `{graph.outputs[first]}` and `{graph.outputs[second]}` swapped"
            name = makers[0].name if makers else graph.outputs[first]
            yield Spot(name, text, partial(graph.swap_outputs, first, second))


def nan_masks(graph: Graph, rng: np.random.Generator) -> Iterator[Spot]:
    """Minus infinity for what a mask hides, where it is multiplied by zero; a guard that is lost."""
    for name, array in graph.constants.items():
        if array.dtype.kind != "f" or array.size != 1:
            continue
        users = graph.users_of_value(name)
        if not users:
            continue
        value, use = float(array.reshape(-1)[0]), users[0]
        guards = use.node.kind == "maximum" or (use.node.kind == "clip" and use.place == 1)
        if -np.inf < value < MASK:
            other, what = -np.inf, "minus infinity"
        elif guards and GUARD[0] < value <= GUARD[1]:
            other, what = 0.0, "zero"
        else:
            continue
        changed = np.full_like(array, other)
        text = f"`{name}`: {what} in place of {value:g}"
        yield Spot(use.node.name, text, partial(graph.put, name, changed), name)
