"""The inputs and outputs of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import shape_inference

from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import StepError


def inputs(model: Any) -> list[Port]:
    """What must be fed; weights are listed among the inputs by old files, and left out here."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [_port(value) for value in model.graph.input if value.name not in weights]


def outputs(model: Any) -> list[Port]:
    """What comes out."""
    return [_port(value) for value in model.graph.output]


def element_types(model: Any) -> dict[str, int]:
    """The type of the elements of each value of the main graph, as far as it can be inferred."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def check_names(model: Any, contract: Contract) -> None:
    """Compares a converted graph with what it was to be.

    Raises:
        StepError: Names, order, number or dtypes of inputs or outputs differ.
    """
    for what, own, wanted in (
        ("inputs", inputs(model), contract.inputs),
        ("outputs", outputs(model), contract.outputs),
    ):
        have = [(port.name, port.dtype) for port in own]
        if have != [(port.name, port.dtype) for port in wanted]:
            raise StepError(
                f"the exporter changed the {what}: {described(own)} instead of {described(wanted)}",
                "an input that nothing uses, or an output given twice, is dropped by exporters",
                what,
            )


def declare_outputs(model: Any, contract: Contract) -> None:
    """Writes the outputs' shapes as they were seen: exporters leave some sizes without a name."""
    for value, port in zip(model.graph.output, contract.outputs, strict=True):
        shape = value.type.tensor_type.shape
        shape.Clear()
        for size in port.shape:
            dim = shape.dim.add()
            if isinstance(size, int):
                dim.dim_value = size
            else:
                dim.dim_param = size


def rename_weights(model: Any, name_of: Callable[[str], str]) -> None:
    """Renames the weights of the main graph wherever they are used, but for names that are taken."""
    graph = model.graph
    taken = {name for node in graph.node for name in node.output}
    taken |= {tensor.name for tensor in graph.initializer}
    wanted = {tensor.name: name_of(tensor.name) for tensor in graph.initializer}
    changed = {old: new for old, new in wanted.items() if new != old and new not in taken}
    if not changed:
        return
    for tensor in (*graph.initializer, *graph.value_info):
        tensor.name = changed.get(tensor.name, tensor.name)
    pending = [graph]
    while pending:
        part = pending.pop()
        for node in part.node:
            for index, name in enumerate(node.input):
                node.input[index] = changed.get(name, name)
            pending += [a.g for a in node.attribute if a.HasField("g")]


def described(ports: list[Port]) -> str:
    """Ports in words, for errors."""
    shown = [
        f"`{p.name}` {p.dtype}[{', '.join(str(s) if s != '' else '?' for s in p.shape)}]"
        for p in ports
    ]
    return ", ".join(shown) or "none"


def _port(value: Any) -> Port:
    tensor = value.type.tensor_type
    shape: list[int | str] = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim
    ]
    kind = tensor.elem_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).name if kind else "no tensor"
    return Port(value.name, shape, dtype)
