"""Inlines the branches of an ONNX file's `If` nodes that sizes and fixed inputs decide.

Exporters write an `If` for what a size decides (a `squeeze` of one axis), and authors write one for what an
input decides (a sampling rate). Converters to static graphs cannot take the choice, nor know the rank of
what comes out of it. Where the recipe's sizes, or an input with one value, decide it, there is no choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]

Shape = tuple[int | None, ...]
"""Sizes; `None` is one that varies."""

LARGEST = 4096
"""Elements that a value may have to be computed here: sizes and choices are small, weights are not."""
RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
ONE_VALUE = (
    "if the app always gives `{name}` the same value, say so: `{name}: {{range: [16000, 16000]}}`, with that "
    "value in place of 16000; then one branch is left"
)
"""The way out where an input decides between branches; `name` is that input's."""


def single_values(
    ports: Sequence[Mapping[str, Any]],
    shapes: Mapping[str, Sequence[int | str]],
    names: Mapping[str, str],
) -> dict[str, Array]:
    """The inputs that can have one value only, since their `range` holds no other.

    Args:
        ports: The recipe's inputs: `name`, `dtype`, `range`.
        shapes: An input's name in the file to its sizes; an input whose sizes vary is left out.
        names: An input's name in the recipe to that in the file.
    """
    found = {}
    for port in ports:
        name, span = names[port["name"]], port["range"]
        sizes = [size for size in shapes[name] if isinstance(size, int)]
        if span is not None and span[0] == span[1] and len(sizes) == len(shapes[name]):
            found[name] = np.full(tuple(sizes), span[0], port["dtype"])
    return found


def deciding(model: Any) -> list[str]:
    """The inputs whose values the conditions of the model's `If` nodes depend on, in the model's order."""
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting = [node.input[0] for node in model.graph.node if node.op_type == "If"]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        maker = makers.get(name)
        if maker is not None and maker.op_type not in ("Shape", "Size"):
            waiting += _used(maker)
    return [value.name for value in model.graph.input if value.name in seen]


def inline(model: Any, fixed: Mapping[str, Array]) -> list[str]:
    """Puts the branch that is always taken in the place of each decided `If`, in place.

    Args:
        model: The model; its inputs have the sizes that they are to have.
        fixed: Inputs with one value.

    Returns:
        The names of the `If` nodes that are gone.
    """
    found: list[str] = []
    while True:
        taken = _decided(model, fixed)
        if not taken:
            break
        found += [_name(node) for node, _ in taken]
        _replace(model.graph, taken)
    if found:
        del model.graph.value_info[:]
        _prune(model.graph)
    return found


def told(names: Sequence[str], what: str) -> str:
    """Says which choices are gone, for the user.

    Args:
        names: Of the `If` nodes.
        what: What gets the one branch: `OpenVINO`.
    """
    shown = ", ".join(f"`{name}`" for name in names[:2])
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"the recipe's inputs decide {shown}{more} of the ONNX file: {what} gets the branch that is taken"


def _name(node: Any) -> str:
    return str(node.name or node.output[0])


def _decided(model: Any, fixed: Mapping[str, Array]) -> list[tuple[Any, Any]]:
    """The `If` nodes at the top whose condition is known, with the branch that is taken."""
    if not any(node.op_type == "If" for node in model.graph.node):
        return []
    known = _known(model, fixed)
    found = []
    for node in model.graph.node:
        if node.op_type == "If" and node.input[0] in known:
            word = "then_branch" if bool(known[node.input[0]].all()) else "else_branch"
            found.append((node, next(a.g for a in node.attribute if a.name == word)))
    return found


def _known(model: Any, fixed: Mapping[str, Array]) -> dict[str, Array]:
    """The values that sizes, small weights and fixed inputs decide.

    Inference of shapes knows what constants say, and computes little itself. So it is given what was
    computed, which decides further sizes, and those further values.
    """
    known = dict(fixed) | {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if np.prod(tensor.dims) <= LARGEST
    }
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    before = -1
    while before < len(known):
        before = len(known)
        shapes = _shapes(model, known)
        partly: dict[str, Shape] = {}
        for node in model.graph.node:
            if all(name in known for name in node.output):
                continue
            if node.op_type in ("Shape", "Size", "Gather") and not node.domain:
                known.update(_sizes(node, shapes, partly, known))
            if _computable(node, known):
                known.update(_computed(node, known, opsets))
    return known


def _shapes(model: Any, known: Mapping[str, Array]) -> dict[str, Shape]:
    """The sizes of values, by inference from the inputs' sizes and from known values."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.value_info[:]
    rest, computed = [], []
    for node in model.graph.node:
        if all(name in known for name in node.output):
            computed += node.output
        else:
            rest.append(node)
    del told.graph.node[:]
    told.graph.node.extend(rest)
    told.graph.initializer.extend(numpy_helper.from_array(known[name], name) for name in computed)
    inferred = onnx.shape_inference.infer_shapes(told, data_prop=True).graph
    found: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
            found[value.name] = tuple(sizes)
    return found


def _sizes(
    node: Any, shapes: Mapping[str, Shape], partly: dict[str, Shape], known: Mapping[str, Array]
) -> dict[str, Array]:
    """What a `Shape` or `Size` gives, or a `Gather` takes of sizes that are known in part.

    Args:
        node: The node.
        shapes: Sizes of values.
        partly: Values that are sizes, of which some may vary; what a `Shape` gives is added.
        known: Values.
    """
    (output,) = node.output
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Gather":
        sizes, indices = partly.get(node.input[0]), known.get(node.input[1])
        if sizes is None or indices is None:
            return {}
        chosen = [sizes[int(index)] for index in indices.reshape(-1)]
        if None in chosen:
            return {}
        return {output: np.array(chosen, np.int64).reshape(indices.shape)}
    shape = shapes.get(node.input[0])
    if shape is None:
        return {}
    if node.op_type == "Shape":
        partly[output] = shape = shape[attributes.get("start", 0) : attributes.get("end")]
    if None in shape:
        return {}
    whole = np.array(shape, np.int64)
    return {output: np.array(whole.prod()) if node.op_type == "Size" else whole}


def _computable(node: Any, known: Mapping[str, Array]) -> bool:
    given = [name for name in node.input if name]
    return (
        not node.domain
        and node.op_type not in RANDOM
        and not any(a.HasField("g") or a.graphs for a in node.attribute)
        and all(name in known for name in given)
        and sum(known[name].size for name in given) <= LARGEST
    )


def _computed(node: Any, known: Mapping[str, Array], opsets: Mapping[str, int]) -> dict[str, Array]:
    feed = {name: known[name] for name in node.input if name}
    try:
        found: Any = ReferenceEvaluator(node, opsets=dict(opsets)).run(None, feed)
    except Exception:
        # An operator that the reference evaluator has not: nothing is known of what it gives.
        return {}
    pairs = zip(node.output, found, strict=False)
    return {name: np.asarray(value) for name, value in pairs if name}


def _replace(graph: Any, taken: Sequence[tuple[Any, Any]]) -> None:
    """Writes the nodes of the taken branches where the `If` nodes stood."""
    branches = {id(node): branch for node, branch in taken}
    names = Counter(_defined(graph))
    nodes: list[Any] = []
    for node in graph.node:
        branch = branches.get(id(node))
        if branch is None:
            nodes.append(node)
            continue
        renamed = {}
        for name in set(_defined(branch)):
            if names[name] > 1:  # The other branch, or another `If`, has one of this name as well.
                renamed[name] = _fresh(name, names)
        _rename(branch, renamed)
        graph.initializer.extend(branch.initializer)
        nodes.extend(branch.node)
        for inner, outer in zip(branch.output, node.output, strict=True):
            nodes.append(helper.make_node("Identity", [inner.name], [outer], f"{outer}/taken"))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _defined(graph: Any) -> Iterator[str]:
    """Every name that a graph and the graphs within it give to a value."""
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (name for name in node.output if name)
        for inner in _graphs(node):
            yield from _defined(inner)


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _fresh(name: str, names: Counter[str]) -> str:
    number = 2
    while f"{name}_{number}" in names:
        number += 1
    names[f"{name}_{number}"] += 1
    return f"{name}_{number}"


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Renames values in a graph and in those within it, which see its names."""
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        for inner in _graphs(node):
            _rename(inner, names)


def _prune(graph: Any) -> None:
    """Drops nodes and weights that nothing uses: what only the choice was made of."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= _used(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    weights = [t for t in graph.initializer if t.name in needed]
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in weights]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(copies)


def _used(node: Any) -> set[str]:
    found = {name for name in node.input if name}
    for inner in _graphs(node):
        found |= {value.name for value in inner.output}
        for each in inner.node:
            found |= _used(each)
    return found
