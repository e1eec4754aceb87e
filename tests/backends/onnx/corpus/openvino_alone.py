"""Runs models by OpenVINO alone, without this project, and by ONNX's reference evaluator.

Run in the toolchain `openvino`: `python openvino_alone.py PROJECT NAME...`, where the project is one of
`backend_models`. Prints one JSON object: each model's largest distance over the samples, as a share of the
largest number, or what OpenVINO says of the model.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from onnx.reference import ReferenceEvaluator


def distance(got: Any, wanted: Any) -> float:
    """How far two outputs are apart; infinite where their sizes differ."""
    one, other = np.asarray(got), np.asarray(wanted)
    if one.shape != other.shape:
        return float("inf")
    one, other = one.astype(np.float64), other.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    largest = np.abs(other[np.isfinite(other)]).max(initial=np.finfo(np.float32).tiny)
    with np.errstate(invalid="ignore"):
        far = np.where(same, 0.0, np.abs(one - other) / largest)
    return float(np.nan_to_num(far, nan=np.inf).max(initial=0.0))


def judged(path: Path, samples: Path) -> float | str:
    """OpenVINO's distance from the reference evaluator, or its error."""
    model = onnx.load(path)
    given = np.load(samples)
    reference = ReferenceEvaluator(model)
    try:
        read = openvino.Core().read_model(path)
        exact = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
        compiled = openvino.Core().compile_model(read, "CPU", exact)
        worst = 0.0
        for row in range(len(given[given.files[0]])):
            feed = {name: given[name][row] for name in given.files}
            wanted: Any = reference.run(None, dict(feed))
            found = list(compiled(feed).values())
            worst = max(worst, *map(distance, found, wanted))
    except RuntimeError as error:
        return " ".join(str(error).split())[:300]
    return worst


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    models = Path(sys.argv[1]) / "models"
    print(
        json.dumps(
            {name: judged(models / f"{name}.onnx", models / f"{name}.npz") for name in sys.argv[2:]}
        )
    )
