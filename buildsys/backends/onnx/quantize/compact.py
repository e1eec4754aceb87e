"""Quantized ONNX files without what says nothing: it would weigh as much as small models do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import numpy_helper

PAIRS = ("QuantizeLinear", "DequantizeLinear")
SMALL = 4096
"""Constants up to this many bytes are looked at: scales and zero points."""
ENDINGS = {
    # The library's endings, with shorter ones.
    "_DequantizeLinear_Output": "_dq",
    "_QuantizeLinear_Output": "_q",
    "_QuantizeLinear_Input": "_in",
    "_zero_point": "_zp",
}


def compact(model: Any) -> None:
    """Shortens a model in place; what it computes stays the same.

    Zero points of biases, which are zero, are left out, as the operator takes them for zero; constants
    that are equal become one; nodes that only quantize lose their names, and what they give has a
    short one. Weights keep the names that the float file has.
    """
    graph = model.graph
    _drop_zero_points(graph)
    _share(graph)
    _drop_unused(graph)
    _rename(graph)
    for node in graph.node:
        if node.op_type in PAIRS:
            node.ClearField("name")


def _drop_zero_points(graph: Any) -> None:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) < 3:
            continue
        values, zero = constants.get(node.input[0]), constants.get(node.input[2])
        if values is None or zero is None or values.data_type != onnx.TensorProto.INT32:
            continue  # Runtimes fuse a weight only with its zero point.
        if not numpy_helper.to_array(zero).any():
            del node.input[2]


def _share(graph: Any) -> None:
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for tensor in graph.initializer:
        if tensor.ByteSize() > SMALL or tensor.name in outputs:
            continue
        bare = onnx.TensorProto()
        bare.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)))
        bare.data_type = tensor.data_type
        key = bare.SerializeToString(deterministic=True)
        found = first.setdefault(key, tensor.name)
        if found != tensor.name:
            instead[tensor.name] = found
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in instead:
                node.input[place] = instead[name]


def _drop_unused(graph: Any) -> None:
    used = {name for node in every_node(graph) for name in node.input}
    used |= {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def every_node(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, and of those within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from every_node(inner)


def _rename(graph: Any) -> None:
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names = [tensor.name for tensor in graph.initializer]
    names += [name for node in every_node(graph) for name in node.output]
    taken = set(names) | fixed
    renamed: dict[str, str] = {}
    for name in names:
        shorter = _shorter(name)
        if name not in fixed and shorter != name and shorter not in taken:
            taken.add(shorter)
            renamed[name] = shorter
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in every_node(graph):
        for names_of in (node.input, node.output):
            for place, name in enumerate(names_of):
                if name in renamed:
                    names_of[place] = renamed[name]


def _shorter(name: str) -> str:
    for long, short in ENDINGS.items():
        if name.endswith(long):
            return name.removesuffix(long) + short
    return name.removesuffix("_quantized")
