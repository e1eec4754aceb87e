"""onnxruntime.quantization as its own documentation uses it, and ONNX Runtime.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
https://onnxruntime.ai/docs/performance/model-optimizations/float16.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from benchmarks.quantization.by_hand import Given

STATIC: dict[str, dict[str, Any]] = {
    "static-8": {"per_channel": True},
    "static-8-tensor": {"per_channel": False},
    "static-8-symmetric": {
        "per_channel": True,
        "activation_type": QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": True},
    },
    "static-16": {"per_channel": True, "activation_type": QuantType.QInt16},
    "static-4": {"per_channel": True, "weight_type": QuantType.QInt4},
}


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration data, one picture a run."""

    def __init__(self, pictures: NDArray[Any]) -> None:
        self._left: Iterator[NDArray[Any]] = iter(pictures)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next feed; `None` after the last."""
        picture = next(self._left, None)
        return None if picture is None else {"image": picture[None]}


def make(case: str, given: Given, target: Path) -> None:
    """Writes one quantized file."""
    if case == "float16":
        onnx.save(convert_float_to_float16(onnx.load(given.source), keep_io_types=True), target)
        return
    prepared = target.with_name(f"{target.name}-prepared.onnx")
    quant_pre_process(given.source, prepared)
    if case == "dynamic-8":
        # ONNX Runtime has no convolution of this kind for signed weights.
        quantize_dynamic(prepared, target, per_channel=True, weight_type=QuantType.QUInt8)
        return
    settings = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(
        prepared,
        target,
        Reader(given.calibration),
        quant_format=QuantFormat.QDQ,
        calibrate_method=CalibrationMethod.MinMax,
        **settings | STATIC[case],
    )


def logits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:
    """What a file gives for each picture."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = [session.run(None, {"image": picture[None]})[0] for picture in pictures]
    values: NDArray[Any] = np.concatenate(found)
    return values
