"""Arithmetic on positions, which 11 bits are too few for.

float16 has the integers up to 2048 only, and a product with a position errs by as much as the position
is large: rotary angles become noise, and a bucket of relative positions is the neighbouring one.
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from .. import graph

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
ANGLES = ("Sin", "Cos")
WHOLE = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)


def exact(model: Any) -> set[str]:
    """The names of the nodes of the main graph that compute on positions.

    They give angles to sines, or what becomes integers, and begin at integers and constants alone:
    what begins at floating inputs of the model is data.
    """
    types = graph.element_types(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    found: set[str] = set()
    for node in model.graph.node:
        whole = node.op_type == "Cast" and node.attribute[0].i in WHOLE
        if (whole or node.op_type in ANGLES) and types.get(node.input[0]) in FLOATS:
            found |= _before(node, makers, types, constants)
    return found


def _before(
    last: Any, makers: dict[str, Any], types: dict[str, int], constants: set[str]
) -> set[str]:
    """A node and those that it has its floats from; none where some come from floating inputs."""
    found: set[str] = set()
    todo = [last]
    while todo:
        node = todo.pop()
        if node.name in found:
            continue
        found.add(node.name)
        for name in node.input:
            if name in constants or types.get(name) not in FLOATS:
                continue
            if name not in makers:
                return set()
            todo.append(makers[name])
    return found
