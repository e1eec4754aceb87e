"""The steps of the TFLite backend, as the tests call them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from tests.support.harness import Result, run_worker
from tests.support.scripts import script

RUN = Path(__file__).with_name("run_file.py")
FILES = {"artifact": "model.tflite", "io": "io.json"}


def options(zoo: Path, model: str) -> dict[str, Any]:
    return json.loads((zoo / f"{model}.options.json").read_text()) | {  # type: ignore[no-any-return]
        "format": {},
        "scheme": None,
        "metadata": {"project": "p", "model": model, "version": "1"},
    }


def convert(
    zoo: Path,
    model: str,
    route: str,
    hash_seed: str = "0",
    left_behind: str | None = None,
    **more: Any,
) -> Result:
    suffix = ".pt2" if route == "direct" else ".onnx"
    given = {"artifact": zoo / f"{model}{suffix}", "io": zoo / f"{model}.io.json"}
    return run_worker(
        f"tflite-{route}",
        "tflite",
        "convert.direct:convert" if route == "direct" else "convert.from_onnx:convert",
        inputs=given,
        outputs=FILES,
        options=options(zoo, model) | more,
        hash_seed=hash_seed,
        left_behind=left_behind,
    )


def quantize(
    zoo: Path,
    model: str,
    source: Result,
    scheme: str,
    calibration: Mapping[str, NDArray[Any]] | None = None,
    hash_seed: str = "0",
    **quantization: Any,
) -> Result:
    given = dict(source.outputs)
    if calibration is not None:
        given["calibration"] = Path(tempfile.mkdtemp()) / "calibration.npz"
        arrays.save(given["calibration"], calibration)
    told = options(zoo, model) | {
        "scheme": scheme,
        "quantization": {"scheme": scheme, "bits": 8, "per_channel": True, **quantization},
    }
    return run_worker(
        "tflite",
        "tflite",
        "quantize.worker:quantize",
        inputs=given,
        outputs=FILES | ({"ranges": "ranges.json"} if "calibration" in given else {}),
        options=told,
        hash_seed=hash_seed,
    )


def samples(zoo: Path, model: str) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Inputs and PyTorch's outputs, by the recipe's names."""
    data = np.load(zoo / f"{model}.npz")
    inputs = {n.removeprefix("in."): data[n] for n in data.files if n.startswith("in.")}
    return inputs, {n.removeprefix("out."): data[n] for n in data.files if n.startswith("out.")}


def run(zoo: Path, model: str, done: Result, folder: Path) -> dict[str, NDArray[Any]]:
    """The file's outputs for the samples, by its runtime module."""
    assert done.artifact.is_file()
    target = folder / "found.npz"
    script(
        "tflite",
        RUN,
        str(done.artifact),
        str(done.outputs["io"]),
        str(zoo / f"{model}.npz"),
        str(target),
    )
    return dict(np.load(target))


def errors(zoo: Path, model: str, done: Result, folder: Path) -> dict[str, float]:
    """Signal error of each output against PyTorch."""
    _, expected = samples(zoo, model)
    found = run(zoo, model, done, folder)
    assert set(found) == set(expected)
    return {
        name: float(np.linalg.norm(found[name] - value) / np.linalg.norm(value - value.mean(0)))
        for name, value in expected.items()
        if value.dtype == np.float32
    }
