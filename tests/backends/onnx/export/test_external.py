"""ONNX with weights in a file of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.backends.onnx.export.test_export import CASES, capture, run, write_samples
from tests.support.describing import describe
from tests.support.harness import Result, interpreter, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

NAMES = ["still", "walk", "run", "climb"]
METHODS = ("trace", "export")
LOOK = """
import json, sys, onnx
model = onnx.load(sys.argv[1], load_external_data=False)
print(json.dumps([
    {"name": t.name, "inside": len(t.raw_data), **{e.key: e.value for e in t.external_data}}
    for t in model.graph.initializer
]))
onnx.checker.check_model(sys.argv[1], full_check=True)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LSTM: its two matrices have 1 KiB or a little more, and all else has less."""
    return zoo.write(tmp_path_factory.mktemp("project"), "lstm")


@pytest.fixture(scope="module")
def captures(project: Path) -> dict[str, Result]:
    return {method: capture(project, "lstm", method) for method in METHODS}


@pytest.fixture(scope="module")
def exports(captures: dict[str, Result]) -> dict[str, Result]:
    return {method: export(captured) for method, captured in captures.items()}


def export(captured: Result, threshold: int = 1, hash_seed: str = "0", threads: int = 2) -> Result:
    ports, outputs = CASES["lstm"]
    return run_worker(
        "onnx-export",
        "onnx",
        "worker:export_external",
        inputs={"artifact": captured.artifact, "io": captured.outputs["io"]},
        options={
            "ports": ports,
            "outputs": outputs,
            "format": {"opset": None, "threshold_kib": threshold},
            "scheme": None,
        },
        hash_seed=hash_seed,
        threads=threads,
    )


def contents(made: Result) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in made.artifact.iterdir()}


def look(made: Result) -> list[dict[str, object]]:
    python = interpreter("onnx")
    command = [str(python), "-c", LOOK, str(made.artifact / "model.onnx")]
    found: list[dict[str, object]] = json.loads(subprocess.check_output(command, text=True))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_large_weights_lie_aligned_in_the_graph_s_order(
    exports: dict[str, Result], method: str
) -> None:
    made = exports[method]
    assert sorted(contents(made)) == ["model.onnx", "model.onnx.data"]
    found = look(made)
    outside = [each for each in found if "location" in each]
    assert {each["location"] for each in outside} == {"model.onnx.data"}
    offsets = [int(str(each["offset"])) for each in outside]
    lengths = [int(str(each["length"])) for each in outside]
    assert len(offsets) == 2
    assert offsets == sorted(offsets)
    assert all(offset % 4096 == 0 for offset in offsets)
    assert all(length >= 1024 for length in lengths)
    assert all(int(str(e["inside"])) < 1024 for e in found if "location" not in e)
    assert len(contents(made)["model.onnx.data"]) == offsets[-1] + lengths[-1]


@pytest.mark.parametrize("method", METHODS)
def test_it_computes_what_was_captured_and_carries_the_contract(
    captures: dict[str, Result], exports: dict[str, Result], method: str, tmp_path: Path
) -> None:
    captured, made = captures[method], exports[method]
    assert made.io == captured.io
    done = describe("onnx", "onnx", made, labels={"y": NAMES})
    before, after = contents(made), contents(done)
    assert before["model.onnx.data"] == after["model.onnx.data"]
    assert b"modelbuild.io" in after["model.onnx"]
    assert b"modelbuild.io" not in before["model.onnx"]
    assert done.io.outputs[0].labels == NAMES
    samples = write_samples(tmp_path / "in.npz", "lstm")
    want = run("torch", "torch", captured, "lstm", samples).arrays()["y"]
    got = run("onnx", "onnx", done, "lstm", samples).arrays()["y"]
    assert np.ptp(want, axis=0).max() > 1e-3
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("method", METHODS)
def test_equal_bytes_in_other_processes(
    captures: dict[str, Result], exports: dict[str, Result], method: str
) -> None:
    again = export(captures[method], hash_seed="7", threads=1)
    assert contents(again) == contents(exports[method])


def test_a_threshold_beyond_all_tensors_is_said(captures: dict[str, Result]) -> None:
    done = export(captures["trace"], threshold=1024)
    assert list(contents(done)) == ["model.onnx"]
    assert done.notes == [
        "no tensor has 1024 KiB: `model.onnx` holds them all, without `model.onnx.data`"
    ]
