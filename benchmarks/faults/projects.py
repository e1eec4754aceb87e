"""The projects whose artifacts get faults: architectures of the zoo, and this repository's recipes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.zoo import project as zoo

RECIPES = Path(__file__).parents[2] / "recipes"
SEED = 1
SAMPLES = 8

ZOO = (
    "cnn",
    "mobilenet_v2",
    "lstm",
    "gru",
    "bert",
    "unet",
    "audio_encoder",
    "autoencoder",
    "siamese",
)
TRAINED = ("digits",)
"""Recipes with trained weights and real data; they alone can be calibrated."""

FLOAT32, FLOAT16, INTEGERS = "float32", "float16", "8 bits"
ENTRIES: dict[str, tuple[str, dict[str, str]]] = {
    "onnx": (FLOAT32, {"format": "onnx"}),
    "tflite": (FLOAT32, {"format": "tflite"}),
    "openvino": (FLOAT32, {"format": "openvino"}),
    "coreml": (FLOAT32, {"format": "coreml"}),
    "tflite-half": (FLOAT16, {"format": "tflite", "quantization": "half"}),
    "openvino-half": (FLOAT16, {"format": "openvino", "quantization": "half"}),
    "coreml-half": (FLOAT16, {"format": "coreml", "quantization": "half"}),
    "tflite-static": (INTEGERS, {"format": "tflite", "quantization": "static"}),
    "openvino-static": (INTEGERS, {"format": "openvino", "quantization": "static"}),
    "coreml-w8": (INTEGERS, {"format": "coreml", "quantization": "w8"}),
}
"""What is wanted of a model, by the name of its column: how precise it is, and its line in a recipe."""

PROFILES: dict[str, dict[str, Any]] = {
    "half": {"scheme": "float16"},
    "w8": {"scheme": "weight-only", "bits": 8},
    "static": {"scheme": "static", "calibration": {"dataset": "calibration", "count": 40}},
}


def column(label: str) -> str:
    """The column of a deployable, `server/MODEL.COLUMN`."""
    return label.rpartition(".")[2]


def precision(name: str) -> str:
    """How precise the artifacts of a column are."""
    return ENTRIES[name][0]


def write(folder: Path, name: str, columns: Iterable[str], seed: int = SEED) -> Path:
    """Writes a project: `zoo`, or one of the recipes, whose targets are replaced.

    Args:
        folder: Where to.
        name: `zoo/ARCHITECTURE`, or a recipe's name.
        columns: Names of `ENTRIES`.
        seed: Draws the samples: random numbers, or rows of the recipe's data.

    Returns:
        The recipe. Its one model is `name` without `zoo/`.
    """
    chosen = [c for c in columns if name in TRAINED or "static" not in c]
    entries = [ENTRIES[c][1] for c in chosen]
    used = {e["quantization"] for e in entries if "quantization" in e}
    head: dict[str, Any]
    if name in TRAINED:
        shutil.copytree(RECIPES / name, folder, ignore=shutil.ignore_patterns("artifacts"))
        head = yaml.safe_load((folder / "deploy.yaml").read_text())
        (model,) = head["models"].values()
        model["samples"] = {"dataset": "val", "count": SAMPLES}
        if seed != SEED:
            _shuffle(folder / head["datasets"]["val"]["source"], seed)
        # The metric is a check of its own; nobody has labels for every model.
        del model["evaluate"], head["acceptance"]
        data = head["datasets"]["val"]
        head["datasets"] = {"val": data, "calibration": {**data, "source": "data/train.npz"}}
        head["models"] = {name: model}
    else:
        architecture = name.removeprefix("zoo/")
        models = zoo.write_models(folder, [architecture])
        models[architecture]["samples"]["seed"] = seed
        head = {"version": 1, "project": "faults", "models": models}
    head["quantization"] = {key: PROFILES[key] for key in PROFILES if key in used}
    if not used:
        del head["quantization"]
    head["targets"] = {zoo.TARGET: entries}
    if "static" not in used:
        head.get("datasets", {}).pop("calibration", None)
    path = folder / "deploy.yaml"
    path.write_text(yaml.safe_dump(head, sort_keys=False))
    return path


def _shuffle(path: Path, seed: int) -> None:
    """Has other rows come first, since the first are the samples."""
    with np.load(path) as loaded:
        rows = {name: loaded[name] for name in loaded.files}
    order = np.random.default_rng(seed).permutation(len(next(iter(rows.values()))))
    np.savez(path, **{name: array[order] for name, array in rows.items()})
