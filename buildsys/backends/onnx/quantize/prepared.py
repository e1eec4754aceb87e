"""A float model as quantization takes it: nodes with names of their own, weights in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from .. import canonical
from ..rewrite import agreement

FIELD = "quantization"
OPSET = 21
"""The first that has integers of 4 and 16 bits, and scales by blocks, in its own operators."""
WEIGHT = 2
"""The least number of axes of what counts as a weight: biases and gains have one."""
RECURRENT = ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
RECURRENT_WEIGHTS = 2
"""So many inputs of a recurrent operator are weights, after what comes in; biases and states follow."""


def prepare(path: Path) -> Any:
    """Reads a file; what later steps address has a name."""
    model = onnx.load(path)
    # Exporters' own shapes contradict what the quantizers infer of a transposed Gemm.
    del model.graph.value_info[:]
    _lift(model.graph)
    _name(model.graph)
    return model


def raised(model: Any, source: Path, contract: Contract, request: Request) -> Any:
    """The same model in an operator set that has small integers.

    Raises:
        StepError: It cannot be converted, or is another model afterwards.
    """
    standard = next(entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if standard.version >= OPSET:
        return model
    names = [node.name for node in model.graph.node]
    try:
        newer = version_converter.convert_version(model, OPSET)
    except Exception as error:  # Its C++ throws what it likes.
        raise StepError(
            f"these settings need opset {OPSET}, and the model does not convert to it from "
            f"{standard.version}: {' '.join(str(error).split())[:300]}",
            f"set `opset: {OPSET}` with `capture: export`",
            "options.opset",
        ) from error
    del newer.graph.value_info[:]
    _lift(newer.graph)
    _name(newer.graph)
    draft = request.scratch / "raised.onnx"
    canonical.save(newer, draft)
    agreement.check(source, draft, contract, request, FIELD)
    lost = set(names) - {node.name for node in newer.graph.node}
    if lost:
        raise StepError(
            f"the model's conversion to opset {OPSET} loses operators: {', '.join(sorted(lost)[:5])}",
            f"set `opset: {OPSET}` with `capture: export`",
            "options.opset",
        )
    request.note(
        f"opset {OPSET} instead of {standard.version}: the first one with integers of 4 and 16 bits"
    )
    return onnx.load(draft)


def weights(model: Any) -> dict[str, Any]:
    """The constants of the main graph that are weights in float32, by name."""
    biases = {
        name
        for node in model.graph.node
        if node.op_type in RECURRENT
        for name in node.input[1 + RECURRENT_WEIGHTS :]
    }
    return {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and len(tensor.dims) >= WEIGHT
        and tensor.name not in biases
    }


def size(tensor: Any) -> int:
    """How many numbers a constant has."""
    return int(np.prod(tensor.dims))


def _lift(graph: Any) -> None:
    """Makes initializers of the constants that nodes give: quantizers see no others."""
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None and len(value.dims) >= WEIGHT:
            lifted = numpy_helper.from_array(numpy_helper.to_array(value), node.output[0])
            graph.initializer.append(lifted)
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _name(graph: Any) -> None:
    """Names nodes that have no name, or that of another one."""
    taken: set[str] = set()
    for number, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{number}"
        taken.add(node.name)
