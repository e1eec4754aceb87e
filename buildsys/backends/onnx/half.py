"""`float16`: weights and arithmetic in 16 bits, inputs and outputs as they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from ..kit.request import Request, StepError

FIELD = "quantization"
LARGEST = float(np.finfo(np.float16).max)


def convert(model: Any, nodes: Collection[str], request: Request) -> Any:
    """Makes these nodes compute in float16; casts stand where others meet them.

    Raises:
        StepError: The converter fails on the model.
    """
    kept = [node.name for node in model.graph.node if node.name not in nodes]
    _tell_overflow(model, set(kept), request)
    try:
        made = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    except Exception as error:
        raise StepError(
            f"ONNX Runtime's converter to float16 fails: {type(error).__name__}: {error}",
            "keep the operator that it names in float: `keep_float`",
            FIELD,
        ) from error
    ONNXModel(made).topological_sort()
    del made.graph.value_info[:]
    return made


def _tell_overflow(model: Any, kept: set[str], request: Request) -> None:
    readers: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.name)
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or set(readers.get(tensor.name, ())) <= kept:
            continue
        most = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
        if most > LARGEST:
            request.note(
                f"`{tensor.name}` holds {most:g}, beyond float16: it becomes {LARGEST:g} there; "
                "`keep_float` keeps it"
            )
