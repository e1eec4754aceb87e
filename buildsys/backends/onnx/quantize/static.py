"""`static`: weights and activations as integers, with ranges of activations out of calibration data.

ONNX Runtime's quantizer writes them as pairs of `QuantizeLinear` and `DequantizeLinear` around
operators (QDQ), which runtimes fuse into operators of integers. The ranges are this project's own:
the quantizer's entropy calibration is min-max under another name, as it leaves one candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import shape_inference
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from ...kit.protocol.request import StepError
from ...kit.quantize.clipping import Range
from ...kit.quantize.mixing import Settings
from . import floating, layers, quantizer
from .prepared import WEIGHT

OPERATORS = tuple(sorted({*QLinearOpsRegistry, *QDQRegistry}))
"""What ONNX Runtime's quantizer knows."""
ACTIVATIONS = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int16": QuantType.QInt16}
DEFAULT = "uint8"
WEIGHTS = {8: QuantType.QInt8, 4: QuantType.QInt4}
MATRIX = 2
PRODUCTS = ("MatMul", "Gemm")
"""Operators whose result is rounded only where another operator of integers reads it: ONNX Runtime
gives floats as fast."""


def activations(settings: Settings) -> str:
    """What activations become."""
    return str(settings.get("activations") or DEFAULT)


def symmetric(settings: Settings) -> bool:
    """Whether ranges of activations lie around zero."""
    return bool(settings.get("symmetric"))


def needs_newer(settings: Settings) -> bool:
    """Whether what a profile asks for is not in older operator sets."""
    return settings.get("bits", 8) < 8 or activations(settings) == "int16"


def together(group: Mapping[str, Settings]) -> Settings:
    """What holds for activations of all static layers; widths of weights may differ.

    Raises:
        StepError: Profiles disagree on what is one for the whole file.
    """
    for name, read in (
        ("activations", activations),
        ("symmetric", symmetric),
        ("calibration", lambda settings: settings.get("calibration")),
    ):
        try:
            layers.agreed(group, read)
        except ValueError as error:
            said = ", ".join(dict.fromkeys(str(each) for each in error.args[0]))
            raise StepError(
                f"layers of one ONNX file cannot have different `{name}` with `static`: {said}",
                f"give their profiles the same `{name}`",
                "quantization.layers",
            ) from error
    return next(iter(group.values()))


def observed(model: Any, group: Mapping[str, Settings]) -> list[str]:
    """The floating tensors around these nodes, in the order of the graph."""
    floats = floating.tensors(model)
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.name in group and node.op_type in OPERATORS:
            found |= dict.fromkeys(n for n in (*node.input, *node.output) if n in floats)
    return list(found)


def quantize(model: Any, group: Mapping[str, Settings], ranges: Mapping[str, Range]) -> Any:
    """Puts pairs of quantization around these nodes; the model given stays as it is.

    Raises:
        StepError: The quantizer fails on the model.
    """
    shared = together(group)
    inferred = shape_inference.infer_shapes(model)
    data = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    with quantizer.called():
        made = QDQQuantizer(
            inferred,
            True,
            False,
            QuantType.QInt8,
            ACTIVATIONS[activations(shared)],
            TensorsData(CalibrationMethod.MinMax, data),
            [node.name for node in model.graph.node if node.name in group],
            [],
            list(OPERATORS),
            {
                "ActivationSymmetric": symmetric(shared),
                "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                "TensorQuantOverrides": _overrides(model, group),
            },
        ).quantize_model()
    ONNXModel(made).topological_sort()
    del made.graph.value_info[:]
    return made


def clipped(model: Any, ranges: Mapping[str, Range]) -> dict[str, Sequence[Range]]:
    """The ranges of what a quantized model quantizes, in the order of its graph."""
    return {
        node.input[0]: [ranges[node.input[0]]]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in ranges
    }


def _overrides(model: Any, group: Mapping[str, Settings]) -> dict[str, list[dict[str, Any]]]:
    """What each weight becomes, with the axis of its channels.

    The quantizer's own axis for `MatMul` is that of a matrix, whatever the number of axes.
    """
    constants = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    found: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        settings = group.get(node.name)
        if settings is None or node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        kind = WEIGHTS[settings.get("bits", 8)]
        for place, name in enumerate(node.input[:2]):
            rank = constants.get(name, 0)
            if rank < WEIGHT or (place == 0 and node.op_type != "MatMul"):
                continue
            axis = _axis(node, place, rank)
            each: dict[str, Any] = {"quant_type": kind}
            if settings.get("per_channel") is not False and axis is not None:
                each["axis"] = axis
            found[name] = [each]
    return found


def _axis(node: Any, place: int, rank: int) -> int | None:
    """The axis of output channels; `None` where integer kernels take one scale alone."""
    if node.op_type == "MatMul":
        return 1 if place == 1 and rank == MATRIX else None
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return 1 if node.op_type == "ConvTranspose" else 0
