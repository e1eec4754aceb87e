"""The steps of the OpenVINO backend, as the tests call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.harness import Result, run_worker

FILES = {"artifact": "model_openvino", "io": "io.json"}


def options(models: Path, name: str) -> dict[str, Any]:
    return json.loads((models / f"{name}.options.json").read_text())  # type: ignore[no-any-return]


def convert(models: Path, name: str, source: Path | None = None, **process: Any) -> Result:
    return run_worker(
        "openvino",
        "openvino",
        "worker:convert",
        inputs={
            "artifact": source or models / f"{name}.onnx",
            "io": models / f"{name}.io.json",
        },
        outputs=FILES,
        options=options(models, name),
        **process,
    )


def quantize(
    models: Path,
    name: str,
    source: Result,
    scheme: str,
    *,
    threads: int = 2,
    hash_seed: str = "0",
    calibrated: bool = False,
    **quantization: Any,
) -> Result:
    given = dict(source.outputs)
    if scheme == "static" or calibrated:
        given["calibration"] = models / f"{name}.samples.npz"
    told = {"scheme": scheme, "bits": 8, "keep_float": [], **quantization}
    return run_worker(
        "openvino",
        "openvino",
        "quantize.worker:quantize",
        inputs=given,
        outputs=FILES | ({"ranges": "ranges.json"} if "calibration" in given else {}),
        options=options(models, name) | {"scheme": scheme, "quantization": told},
        threads=threads,
        hash_seed=hash_seed,
    )


def run(models: Path, name: str, made: Result, threads: int = 2) -> Result:
    """The model's outputs for its samples, as verification gets them."""
    return run_worker(
        "openvino",
        "kit",
        "run.measurement:run_artifact",
        inputs={
            "artifact": made.artifact,
            "io": made.outputs["io"],
            "samples": models / f"{name}.samples.npz",
        },
        outputs={"samples": "out.npz", "run": "run.json", "plain": "plain.npz"},
        options=options(models, name)
        | {
            "dynamic": True,
            "runtime_module": "openvino.runtime",
            "latency": {"warmup": 1, "runs": 3},
        },
        threads=threads,
    )


def expected(models: Path, name: str) -> dict[str, NDArray[Any]]:
    """What ONNX's own reference makes of the samples."""
    return dict(np.load(models / f"{name}.npz"))


def error(models: Path, name: str, found: dict[str, NDArray[Any]]) -> float:
    """The worst signal error of a float output."""
    wanted = expected(models, name)
    assert set(found) == set(wanted)
    return max(
        float(np.linalg.norm(found[o] - w) / np.linalg.norm(w - w.mean(0)))
        for o, w in wanted.items()
        if w.dtype == np.float32
    )


def census(folder: Path) -> dict[str, int]:
    """Type of layer to how many there are in `model.xml`."""
    counts: dict[str, int] = {}
    for part in (folder / "model.xml").read_text().split('<layer id="')[1:]:
        kind = part.partition(' type="')[2].partition('"')[0]
        counts[kind] = counts.get(kind, 0) + 1
    return counts
