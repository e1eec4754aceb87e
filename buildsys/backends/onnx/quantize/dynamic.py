"""`dynamic`: matrix products and LSTMs in 8 bits, with ranges of activations found while they run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.onnx_model import ONNXModel

from . import quantizer

OPERATORS = ("MatMul", "Gemm", "LSTM", "Attention")
"""What ONNX Runtime has in this way and runs faster than in float. Its convolutions of this kind have
one scale for a whole tensor and are slower: those get integers as weights alone."""


def quantize(model: Any, nodes: Collection[str], per_channel: bool, scratch: Path) -> Any:
    """Makes these nodes compute with integers.

    Raises:
        StepError: ONNX Runtime's quantizer fails on the model.
    """
    taken = _split(model, nodes)
    draft = scratch / "dynamic.onnx"
    # It would turn the Gemms of all others into pairs as well.
    with quantizer.called(), mock.patch.object(ONNXModel, "replace_gemm_with_matmul"):
        quantize_dynamic(
            model,
            draft,
            op_types_to_quantize=list(OPERATORS),
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=taken,
        )
    made = onnx.load(draft)
    del made.graph.value_info[:]
    return made


def _split(model: Any, nodes: Collection[str]) -> list[str]:
    """Makes pairs of MatMul and Add of these Gemms; gives the names of what can be quantized."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    found, made = [], []
    for node in model.graph.node:
        made.append(node)
        if node.name not in nodes or node.op_type not in OPERATORS:
            continue
        if node.op_type != "Gemm":
            found.append(node.name)
            continue
        weight = constants.get(node.input[1])
        own = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if weight is None or readers[weight.name] > 1 or _unlike_a_layer(own):
            continue
        if own.get("transB"):
            turned = np.ascontiguousarray(numpy_helper.to_array(weight).T)
            weight.CopyFrom(numpy_helper.from_array(turned, weight.name))
        found.append(node.name)
        made.pop()
        made += _pair(node)
    del model.graph.node[:]
    model.graph.node.extend(made)
    return found


def _unlike_a_layer(own: dict[str, Any]) -> bool:
    return own.get("alpha", 1.0) != 1.0 or own.get("beta", 1.0) != 1.0 or bool(own.get("transA"))


def _pair(node: Any) -> list[Any]:
    if len(node.input) < 3:
        return [helper.make_node("MatMul", node.input[:2], node.output, node.name)]
    product = node.output[0] + "_product"
    return [
        helper.make_node("MatMul", node.input[:2], [product], node.name),
        helper.make_node("Add", [product, node.input[2]], node.output, node.name + "_bias"),
    ]
