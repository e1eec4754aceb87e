"""A graph in another precision than its own: in float64, or rounded to float16 after each operator.

ONNX Runtime has few kernels for float64, so that graph is for ONNX's reference evaluator. The rounded one
computes in float32, and is for ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
INTEGERS = ("Quantize", "Dequantize", "QLinear", "Integer", "NBits")
"""Parts of the names of operators that round to integers, or compute with them."""
RANDOM = ("Random", "Bernoulli", "Multinomial")
TYPED = {"Cast": "to", "EyeLike": "dtype", "SequenceEmpty": "dtype"}
"""Operators that name the type of what they make, and the attribute that does."""
MOST = 2**26
"""Numbers in constants: above that a graph is not run in float64, which would take twice 512 MiB."""
LARGEST = float(np.finfo(np.float16).max)


def refusal(model: Any) -> str | None:
    """Why a graph is not run in other precisions, in words; `None` where nothing is in the way."""
    for graph in graphs(model.graph):
        for node in graph.node:
            if any(part in node.op_type for part in INTEGERS):
                return f"`{node.op_type}` computes with integers: its rounding is no float's"
            if any(part in node.op_type for part in RANDOM):
                return f"`{node.op_type}` is random"
    count = sum(int(np.prod(tensor.dims)) for tensor in constants(model).values())
    if count > MOST:
        return f"its {count:,} constant numbers are more than are run in float64 (up to {MOST:,})"
    return None


def graphs(graph: Any) -> Iterator[Any]:
    """A graph, and those within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from graphs(inner)


def constants(model: Any) -> dict[str, Any]:
    """Name to `TensorProto`, of initializers and of constants; to be changed in place."""
    found: dict[str, Any] = {}
    for graph in graphs(model.graph):
        found |= {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    found[node.output[0]] = attribute.t
    return found


def put(tensor: Any, array: Any) -> None:
    """Gives a constant other numbers, and their type."""
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def exact(model: Any) -> Any:
    """A copy whose floats are float64: constants, casts, inputs and outputs."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for graph in graphs(made.graph):
        for node in graph.node:
            _widen_attributes(node)
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in FLOATS:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
        del graph.value_info[:]
    for tensor in constants(made).values():
        _widen(tensor)
    return made


def _widen(tensor: Any) -> None:
    if tensor.data_type in FLOATS:
        put(tensor, numpy_helper.to_array(tensor).astype(np.float64))


def _widen_attributes(node: Any) -> None:
    """Those that make floats: the type of a cast, the value of a constant."""
    named = {attribute.name: attribute for attribute in node.attribute}
    kind = named.get(TYPED.get(node.op_type, ""))
    if kind is not None and kind.i in FLOATS:
        kind.i = TensorProto.DOUBLE
    if node.op_type == "ConstantOfShape":
        if "value" in named:
            _widen(named["value"].t)
        else:
            zero = numpy_helper.from_array(np.zeros(1))
            node.attribute.append(helper.make_attribute("value", zero))
    if node.op_type == "Constant":
        for name in ("value_float", "value_floats"):
            if name in named:
                given = named[name].f if name == "value_float" else list(named[name].floats)
                value = numpy_helper.from_array(np.array(given, np.float64))
                node.attribute.remove(named[name])
                node.attribute.append(helper.make_attribute("value", value))


def rounding(model: Any) -> Any:
    """A copy that rounds weights, and what each operator gives, to float16, and computes in float32.

    Single numbers stay as they are: an epsilon is no weight, and would be zero. What is fed is for the caller
    to round.
    """
    made = infer_shapes(model)
    for graph in graphs(made.graph):
        values = (*graph.input, *graph.output, *graph.value_info)
        types = {value.name: value.type.tensor_type.elem_type for value in values}
        nodes = []
        for node in graph.node:
            nodes.append(node)
            if node.op_type == "Constant":
                continue
            for place, name in enumerate(node.output):
                if types.get(name) == TensorProto.FLOAT:
                    nodes += _rounded(node, place)
        copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copied)
    round_weights(made)
    return made


def round_weights(model: Any) -> None:
    """Rounds weights to float16, in a file that keeps its types; single numbers stay as they are."""
    for tensor in constants(model).values():
        array = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and array.size > 1:
            put(tensor, np.clip(array, -LARGEST, LARGEST).astype(np.float16).astype(np.float32))


def _rounded(node: Any, place: int) -> list[Any]:
    """Casts behind one output of an operator; the last has its name."""
    name = node.output[place]
    wide, half = f"{name}/wide", f"{name}/half"
    node.output[place] = wide
    return [
        helper.make_node("Cast", [wide], [half], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT),
    ]
