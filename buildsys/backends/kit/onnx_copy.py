"""A copy of an ONNX model as onnx2tf needs it: sizes fixed, inputs and outputs under safe names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from .request import StepError


def write(
    source: Path, target: Path, shapes: Mapping[str, Sequence[int]], renamed: Mapping[str, str]
) -> None:
    """Writes the copy; onnx2tf rewrites its input in place, so it must never see the original.

    Args:
        source: The ONNX model.
        target: The copy.
        shapes: Input's name in the model to its sizes.
        renamed: Name in the model to the name in the copy, for each input and output.

    Raises:
        StepError: The model's inputs or outputs are not those that were named.
    """
    model = onnx.load(str(source))
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    present = {value.name for value in (*inputs, *model.graph.output)}
    if present != set(renamed):
        raise StepError(
            f"the ONNX model has the inputs and outputs {', '.join(sorted(present))}; "
            f"{', '.join(sorted(renamed))} were expected"
        )
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, shapes[value.name], strict=True):
            dim.dim_value = size
    # A static output's shape follows from the inputs; a symbol left in it makes TensorFlow keep the
    # batch open, and recurrent layers then need operators that LiteRT does not have.
    del model.graph.value_info[:]
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.ClearField("dim_param")
    _rename(model.graph, {old: new for old, new in renamed.items() if old != new})
    onnx.save(onnx.shape_inference.infer_shapes(model), str(target))


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:  # A branch or a loop's body sees the outer graph's names.
                    _rename(inner, names)
