"""A copy of an ONNX model as onnx2tf needs it: sizes fixed, inputs and outputs under safe names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..protocol.request import StepError
from . import onnx_branches, onnx_sizes


def write(
    source: Path,
    target: Path,
    shapes: Mapping[str, Sequence[int]],
    renamed: Mapping[str, str],
    fixed: Mapping[str, NDArray[Any]],
) -> None:
    """Writes the copy; onnx2tf rewrites its input in place, so it must never see the original.

    Args:
        source: The ONNX model.
        target: The copy.
        shapes: Input's name in the model to its sizes.
        renamed: Name in the model to the name in the copy, for each input and output.
        fixed: Inputs that have one value only; branches that they decide are written in place of the choice.

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
    onnx_sizes.write(model, shapes)
    onnx_branches.inline(model, fixed)
    # A static output's shape follows from the inputs; a symbol left in it makes TensorFlow keep the
    # batch open, and recurrent layers then need operators that LiteRT does not have.
    del model.graph.value_info[:]
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.ClearField("dim_param")
    _rename(model.graph, {old: new for old, new in renamed.items() if old != new})
    model = onnx.shape_inference.infer_shapes(model)
    _spell_gelus(model.graph)
    onnx.save(model, str(target))


def _spell_gelus(graph: Any) -> None:
    """Writes `Gelu` as its definition: TensorFlow's own takes `erfc`, which TensorFlow.js does not have."""
    values = (*graph.input, *graph.value_info)
    wide = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    nodes = []
    for node in graph.node:
        by_tanh = any(each.name == "approximate" and each.s == b"tanh" for each in node.attribute)
        if node.op_type != "Gelu" or node.input[0] not in wide or by_tanh:
            nodes.append(node)
            continue
        (x,), (made,) = node.input, node.output
        part = (made + "_gelu_{}").format
        numbers = {"root": math.sqrt(2), "one": 1.0, "half": 0.5}
        for name, number in numbers.items():
            array = np.array(number, np.float32)
            graph.initializer.append(numpy_helper.from_array(array, part(name)))
        for kind, inputs, output in (
            ("Div", (x, part("root")), part("scaled")),
            ("Erf", (part("scaled"),), part("erf")),
            ("Add", (part("erf"), part("one")), part("sum")),
            ("Mul", (x, part("half")), part("halved")),
            ("Mul", (part("halved"), part("sum")), made),
        ):
            nodes.append(helper.make_node(kind, inputs, [output], f"{node.name}/{output}"))
    del graph.node[:]
    graph.node.extend(nodes)


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
