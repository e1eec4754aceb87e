"""What `static` leaves in float: operators whose numbers 256 levels cannot tell apart.

Softmax and layer norms, and the sums and products beside them: scores of attention with their mask,
what runs past the layers of a transformer, GELU. ONNX Runtime's products of integer matrices give floats
as well; sums between convolutions stay integers, or each of them would cost two conversions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from onnx import TensorProto

from .. import graph

NEVER = (
    *("Softmax", "LayerNormalization", "EmbedLayerNormalization"),
    *("ArgMax", "CumSum", "TopK", "Where"),
)
"""Operators that are never integers: their results hang on small differences, or add up errors."""
CURVED = (
    *("Div", "Erf", "Exp", "Log", "Pow", "Reciprocal", "Softplus", "Sqrt", "Sub"),
    *("Cos", "Sin", "Tanh", "Gelu", "BiasGelu", "FastGelu", "Attention", "MultiHeadAttention"),
    *("GroupNormalization", "LogSoftmax", "RMSNormalization", "SkipLayerNormalization"),
)
"""Operators that have no integers in ONNX Runtime, and that layer norms, GELU and masks are made of
where they are no operator of their own."""
ELEMENTWISE = ("Add", "Mul", "Sigmoid")
"""Operators that follow what they stand beside."""
MOVING = (
    *("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Neg", "Reshape", "Slice"),
    *("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
)
"""Operators that two others stand beside each other through."""


def beside(model: Any) -> set[str]:
    """The names of the nodes of the main graph that `static` leaves in float.

    They are those of `NEVER`, and those of `ELEMENTWISE` that an edge joins to one of `NEVER` or
    `CURVED`, at once or through others of `ELEMENTWISE` and `MOVING`. Convolutions, matrix products,
    pools and activations that clip part what is joined.
    """
    joined = {*NEVER, *CURVED, *ELEMENTWISE, *MOVING}
    nodes = [node for node in model.graph.node if node.op_type in joined]
    floats = tensors(model) - {n.output[0] for n in model.graph.node if n.op_type == "Constant"}
    at: dict[str, list[Any]] = {}
    for node in nodes:
        for name in (*node.input, *node.output):
            if name in floats:
                at.setdefault(name, []).append(node)
    reached = {node.name: node for node in nodes if node.op_type in (*NEVER, *CURVED)}
    todo = list(reached.values())
    while todo:
        node = todo.pop()
        for name in (*node.input, *node.output):
            for other in at.get(name, ()):
                if other.name not in reached:
                    reached[other.name] = other
                    todo.append(other)
    return {name for name, node in reached.items() if node.op_type in (*NEVER, *ELEMENTWISE)}


def around(model: Any, names: Collection[str]) -> set[str]:
    """The names of the nodes that read or give any of these tensors."""
    return {node.name for node in model.graph.node if set(names) & {*node.input, *node.output}}


def tensors(model: Any) -> set[str]:
    """The floating tensors of the main graph but those that are stored."""
    constants = {tensor.name for tensor in model.graph.initializer}
    types = graph.element_types(model)
    return {name for name, kind in types.items() if kind == TensorProto.FLOAT} - constants
