"""Rewrites files that ONNX Runtime refuses: old operator sets, recurrent layers with the batch first.

Nothing here changes what a file computes; `adopt` compares what comes out with the file as it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import version_converter
from onnx.shape_inference import infer_shapes

from ...kit.protocol.request import StepError
from .legacy import AXIS, LOWEST
from .original import FIELD

DOMAINS = ("", "ai.onnx")
RECURRENT = ("GRU", "LSTM", "RNN")
BATCH_FIRST = (1, 0, 2)
"""Between [batch, sequence or directions, numbers] and [sequence or directions, batch, numbers]."""
OUTPUT_BATCH_FIRST = (2, 0, 1, 3)
"""From [sequence, directions, batch, numbers] to [batch, sequence, directions, numbers]."""


def opset(model: Any) -> int | None:
    """The version of ONNX's own operators; `None` where a file uses none."""
    found = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    return int(found[0]) if found else None


def upgraded(model: Any, refusal: str) -> tuple[Any, list[str]]:
    """Rewrites a file that ONNX Runtime refuses.

    Args:
        model: The file as it was given; it stays as it is.
        refusal: What ONNX Runtime says of it.

    Returns:
        The rewritten file, and what was done, in sentences; one at least.

    Raises:
        StepError: The operator set is too old and the file cannot be upgraded, or nothing known here is
            what ONNX Runtime refuses.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    said = []
    version = opset(made)
    if version is not None and version < LOWEST:
        _along_axes(made)
        made = _converted(made, version)
        said.append(
            f"ONNX Runtime does not run the file's operator set {version} ({_first(refusal)}): "
            f"`onnx.version_converter` {onnx.__version__} upgraded it to {LOWEST}"
        )
    turned = sum(_sequence_first(graph) for graph in _graphs(made.graph))
    if turned:
        said.append(
            f"ONNX Runtime runs no recurrent layer with the batch first: {turned} of them got "
            "transposed inputs and outputs"
        )
    if not said:
        raise StepError(refusal, None, FIELD)
    return made, said


def _first(text: str) -> str:
    """The part of a refusal that names the operator."""
    _, _, found = text.rpartition("NOT_IMPLEMENTED : ")
    return found.partition(" with name")[0].strip().rstrip(".")[:160]


def _converted(model: Any, version: int) -> Any:
    try:
        made = version_converter.convert_version(model, LOWEST)
    except Exception as error:  # The converter's own errors, of several classes.
        said = " ".join(str(error).split())[:300]
        raise StepError(
            f"ONNX Runtime does not run operator set {version}, and `onnx.version_converter` "
            f"{onnx.__version__} does not upgrade the file: {said}",
            f"export the model again with operator set {LOWEST} or later",
            FIELD,
        ) from error
    for what in ("input", "output"):
        before = [each.name for each in getattr(model.graph, what)]
        after = [each.name for each in getattr(made.graph, what)]
        if before != after:
            raise StepError(
                f"`onnx.version_converter` changed the {what}s from {before} to {after}",
                f"export the model again with operator set {LOWEST} or later",
                FIELD,
            )
    return made


def _along_axes(model: Any) -> None:
    """Gives operands that are laid along an axis as many axes of one as there are behind it.

    Up to operator set 6 `axis` says where the second operand of a sum lies, and a slope of `PRelu` with
    one axis belongs to the channels. Later both belong to the last axes; the version converter passes over
    the slopes, and refuses most axes.
    """
    shapes = _shapes(model)
    nodes: list[Any] = []
    for node in model.graph.node:
        axis = _axis(node, shapes)
        if axis is not None:
            x, operand = node.input
            if shapes.get(x) is None or shapes.get(operand) is None:
                raise StepError(
                    f"the sizes that the `{node.op_type}` of `{node.output[0]}` works on are not "
                    "known, and its second operand lies along another axis in later operator sets",
                    f"export the model again with operator set {LOWEST} or later",
                    FIELD,
                )
            rank, own = len(shapes[x] or ()), len(shapes[operand] or ())
            axes = list(range(own, rank - axis % rank))
            if axes:
                name = f"{node.output[0]}_operand"
                nodes.append(onnx.helper.make_node("Unsqueeze", [operand], [name], axes=axes))
                node.input[1] = name
            for attribute in [each for each in node.attribute if each.name == "axis"]:
                node.attribute.remove(attribute)
        nodes.append(node)
    _replace(model.graph, nodes)


def _axis(node: Any, shapes: dict[str, tuple[int, ...] | None]) -> int | None:
    """Where the second operand of a node lies; `None` where that is as in later operator sets."""
    if node.domain not in DOMAINS:
        return None
    if node.op_type == "PRelu":
        return None if shapes.get(node.input[1]) == (1,) else 1
    if node.op_type not in AXIS:
        return None
    return next((int(each.i) for each in node.attribute if each.name == "axis"), None)


def _shapes(model: Any) -> dict[str, tuple[int, ...] | None]:
    """Sizes by name, 0 where one is not known; `None` where not even their number is."""
    graph = infer_shapes(model).graph
    found: dict[str, tuple[int, ...] | None] = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        known = value.type.tensor_type.HasField("shape")
        dims = value.type.tensor_type.shape.dim
        found[value.name] = tuple(int(dim.dim_value) for dim in dims) if known else None
    return found | {each.name: tuple(each.dims) for each in graph.initializer}


def _replace(graph: Any, nodes: list[Any]) -> None:
    """Puts nodes into the place of a graph's own, some of which may be among them."""
    if len(nodes) > len(graph.node):
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those within its operations."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _sequence_first(graph: Any) -> int:
    """Puts transpositions around recurrent layers with the batch first; gives how many there were."""
    nodes: list[Any] = []
    count = 0
    for node in graph.node:
        layout = [each for each in node.attribute if each.name == "layout" and each.i == 1]
        if node.op_type not in RECURRENT or node.domain not in DOMAINS or not layout:
            nodes.append(node)
            continue
        count += 1
        node.attribute.remove(layout[0])
        base = next(name for name in node.output if name)
        # X, then the initial states: behind weights, bias and lengths.
        for index in (0, 5, 6):
            if index < len(node.input) and node.input[index]:
                turned = f"{base}_given_{index}"
                nodes.append(_transpose(node.input[index], turned, BATCH_FIRST))
                node.input[index] = turned
        behind = []
        for index, name in enumerate(node.output):
            if name:
                inner = f"{base}_made_{index}"
                order = BATCH_FIRST if index else OUTPUT_BATCH_FIRST
                behind.append(_transpose(inner, name, order))
                node.output[index] = inner
        nodes += [node, *behind]
    _replace(graph, nodes)
    return count


def _transpose(given: str, made: str, order: tuple[int, ...]) -> Any:
    return onnx.helper.make_node("Transpose", [given], [made], perm=order)
