"""NNCF as its own documentation uses it, and OpenVINO."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray

from benchmarks.quantization.by_hand import Given

nncf.set_log_level(logging.ERROR)
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
BITS4 = {
    "mode": nncf.CompressWeightsMode.INT4_SYM,
    "group_size": -1,
    "ratio": 1.0,
    "all_layers": True,
    "backup_mode": nncf.BackupMode.INT8_SYM,
}


def make(case: str, given: Given, target: Path) -> None:
    """Writes one quantized model."""
    model = ov.Core().read_model(given.source / "model.xml")
    if case == "static-8":
        small = nncf.quantize(
            model,
            nncf.Dataset([picture[None] for picture in given.calibration]),
            subset_size=len(given.calibration),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                disable_bias_correction=True,
            ),
        )
    elif case == "weight-only-4":
        small = nncf.compress_weights(model, **BITS4)
    else:
        small = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    ov.save_model(small, target / "model.xml", compress_to_fp16=False)


def logits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:
    """What a model gives for each picture."""
    compiled = ov.Core().compile_model(path / "model.xml", "CPU", SETTINGS)
    found = [compiled([picture[None]])[0].copy() for picture in pictures]
    values: NDArray[Any] = np.concatenate(found)
    return values
