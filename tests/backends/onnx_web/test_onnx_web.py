"""ONNX models for browsers: run by onnxruntime-web in Node.js, and in headless Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from tests.support.browser import visit
from tests.support.harness import Result, run_worker
from tests.support.scripts import digest, script

pytestmark = pytest.mark.toolchain

HERE = Path(__file__).parent
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


def options(zoo: Path, model: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((zoo / f"{model}.options.json").read_text())
    return told | {"format": {}, "scheme": None}


def pack(zoo: Path, model: str, **more: Any) -> Result:
    return run_worker(
        "onnx-web",
        "onnx_web",
        "worker:pack",
        inputs={"artifact": zoo / f"{model}.onnx", "io": zoo / f"{model}.io.json"},
        options=options(zoo, model),
        **more,
    )


def run(zoo: Path, model: str, made: Result, samples: arrays.Arrays, folder: Path) -> Result:
    arrays.save(folder / "in.npz", samples)
    told = {
        **options(zoo, model),
        "dynamic": True,
        "runtime_module": "onnx_web.runtime",
        "latency": {"warmup": 1, "runs": 3},
    }
    return run_worker(
        "onnx-web",
        "kit",
        "run.measurement:run_artifact",
        inputs={**made.outputs, "samples": folder / "in.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=told,
    )


Arrays = dict[str, NDArray[Any]]


def samples(zoo: Path, model: str) -> tuple[Arrays, Arrays]:
    """Inputs and PyTorch's outputs."""
    data: Arrays = arrays.load(zoo / f"{model}.npz")
    split = {
        part: {n.removeprefix(part): a for n, a in data.items() if n.startswith(part)}
        for part in ("in.", "out.")
    }
    return split["in."], split["out."]


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose inputs are of each dtype, each with an output that depends on it."""
    folder = tmp_path_factory.mktemp("types")
    script("onnx", HERE / "make_types.py", str(folder))
    return folder


@pytest.fixture(scope="module")
def packed(onnx_zoo: Path) -> dict[str, Result]:
    return {model: pack(onnx_zoo, model) for model in ("lstm", "text")}


@pytest.mark.parametrize("model", ["lstm", "text"])
def test_node_computes_what_torch_does_at_two_sizes(
    onnx_zoo: Path, packed: dict[str, Result], model: str, tmp_path: Path
) -> None:
    inputs, expected = samples(onnx_zoo, model)
    done = run(onnx_zoo, model, packed[model], inputs, tmp_path)
    record = done.json("run")
    assert record["runtime"] == "onnxruntime-web 1.30.0 (wasm)"
    assert record["batch_sizes"] == [1, 16]
    # Of Node.js with the runtime in it, not of the worker.
    assert record["peak_rss_bytes"] > 60 * 2**20
    found: Arrays = done.arrays()
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert np.ptp(array.astype(np.float64), axis=0).max() > 1e-3
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, **TOLERANCE)


def test_every_dtype_goes_in_and_comes_out(types: Path, tmp_path: Path) -> None:
    made = pack(types, "types")
    inputs, expected = samples(types, "types")
    found = run(types, "types", made, inputs, tmp_path).arrays()
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_browser_computes_the_same_and_asks_nobody_else(
    onnx_zoo: Path, packed: dict[str, Result]
) -> None:
    inputs, expected = samples(onnx_zoo, "text")
    feeds = [
        {n: {"data": a[rows].ravel().tolist(), "shape": a[rows].shape} for n, a in inputs.items()}
        for rows in (slice(0, 1), slice(1, 6))
    ]
    more = {
        "probe.html": (HERE / "probe.html").read_bytes(),
        "feeds.json": json.dumps(feeds).encode(),
    }
    answer, requested = visit(packed["text"].artifact, "probe.html", more)
    assert "error" not in answer, answer["error"]
    for name, array in expected.items():
        parts = [np.array(a[name]["data"]).reshape(a[name]["shape"]) for a in answer["answers"]]
        np.testing.assert_allclose(np.concatenate(parts), array[:6], **TOLERANCE)
    assert answer["refused"] == "input `ids` is missing"
    assert answer["foreign"] == []
    assert {"index.html", "page.js", "model.onnx"} <= set(requested)
    # The page itself ran the model, on values that it makes up.
    assert "by onnxruntime-web 1.30.0" in answer["page"]["state"]
    assert answer["page"]["cells"][4:7] == ["scores", "float32", "[1, 3]"]


def test_equal_inputs_give_equal_bytes(
    onnx_zoo: Path, packed: dict[str, Result], tmp_path: Path
) -> None:
    again = pack(onnx_zoo, "text", hash_seed="7", threads=1)
    assert digest(again.artifact) == digest(packed["text"].artifact)
    assert again.io == packed["text"].io
    files = sorted(p.relative_to(again.artifact).as_posix() for p in again.artifact.rglob("*.*"))
    assert files == [
        "index.html",
        "io.js",
        "model.js",
        "model.onnx",
        "onnxruntime/ort-wasm-simd-threaded.wasm",
        "onnxruntime/ort.js",
        "package.json",
        "page.js",
    ]


def test_what_the_runtime_refuses_is_said(types: Path) -> None:
    refused = pack(types, "future")
    assert refused.message.startswith("onnxruntime-web 1.30.0 does not load the model: ")
    assert "Tomorrow" in refused.message
