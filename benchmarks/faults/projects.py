"""The projects whose artifacts get faults: the zoo, this repository's recipes, trained networks of others."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.faults.trained import networks
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
WHEELS = tuple(networks.NETWORKS)
"""Trained networks out of public wheels, on signals like those they were trained on."""

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


def allowed(name: str, entry: str) -> bool:
    """Whether an artifact of a column can be made of a model.

    There is calibration data for the recipes alone.
    """
    if name in WHEELS and entry in networks.NETWORKS[name].unfit:
        return False
    return name in TRAINED or "static" not in entry


def _entry(name: str, column: str) -> dict[str, Any]:
    """A column's line in the recipe of a model; not every ONNX file comes to TFLite by onnx2tf."""
    entry: dict[str, Any] = dict(ENTRIES[column][1])
    from_file = name in WHEELS and "onnx" in networks.NETWORKS[name].source
    if from_file and entry["format"] == "tflite":
        entry["route"] = "direct"
    return entry


def write(folder: Path, name: str, columns: Iterable[str], seed: int = SEED) -> Path:
    """Writes a project: `zoo`, a network of a wheel, or one of the recipes, whose targets are replaced.

    Args:
        folder: Where to.
        name: `zoo/ARCHITECTURE`, of `WHEELS`, or a recipe's name.
        columns: Names of `ENTRIES`.
        seed: Draws the samples: random numbers, signals, or rows of the recipe's data.

    Returns:
        The recipe. Its one model is `name` without `zoo/`.
    """
    chosen = [c for c in columns if allowed(name, c)]
    entries = [_entry(name, c) for c in chosen]
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
    elif name in WHEELS:
        model, file = networks.write_model(folder, name, SAMPLES, seed)
        model["samples"] = {"dataset": "signals", "count": SAMPLES}
        datasets = {"signals": {"source": file}}
        head = {"version": 1, "project": "faults", "datasets": datasets, "models": {name: model}}
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
