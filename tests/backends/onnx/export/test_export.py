"""ONNX by both exporters, and its runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.export import modules
from buildsys.backends.kit.protocol import arrays
from tests.profile import by_day
from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo as zoo
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

CASES = {
    "cnn": ([port("image", ["N", 1, 8, 8])], ["logits"]),
    "clipped": ([port("x", ["N", 6])], ["y"]),
    "windows": ([port("x", ["N", 12, 6])], ["y"]),
    "lstm": ([port("x", ["N", 30, 9])], ["y"]),
    "branch": ([port("x", ["N", 6])], ["y"]),
    "dict": ([port("x", ["N", 6])], ["boxes", "scores"]),
    "exotic": ([port("x", ["N", 6])], ["y"]),
    "reserved": ([port("x", ["N", 6])], ["y"]),
    "padded": ([port("tokens", ["N", "T"], "int64", span=[0, 7], T=(2, 12, 5))], ["y"]),
    "attention": (
        [
            port("tokens", ["N", "T"], "int64", span=[0, 7], T=(2, 12, 5)),
            port("mask", ["N", "T"], T=(2, 12, 5)),
        ],
        ["y"],
    ),
}


def capture(project: Path, name: str, method: str) -> Result:
    ports, outputs = CASES[name]
    worker = "worker:export" if method == "export" else "worker:capture"
    described = factory(ports, outputs, method=method)
    return run_worker("torch", "torch", worker, options=described, project=project)


def export(captured: Result, name: str, opset: int | None = None, hash_seed: str = "0") -> Result:
    ports, outputs = CASES[name]
    return run_worker(
        "onnx-export",
        "onnx",
        "worker:export",
        inputs={"artifact": captured.artifact, "io": captured.outputs["io"]},
        options={"ports": ports, "outputs": outputs, "format": {"opset": opset}, "scheme": None},
        hash_seed=hash_seed,
    )


def run(toolchain: str, backend: str, made: Result, name: str, samples: Path) -> Result:
    ports, outputs = CASES[name]
    options: dict[str, Any] = {
        "ports": ports,
        "outputs": outputs,
        "dynamic": True,
        "runtime_module": f"{backend}.runtime",
        "latency": {"warmup": 1, "runs": 3},
    }
    return run_worker(
        toolchain,
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": made.artifact, "io": made.outputs["io"], "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=options,
    )


def write_samples(path: Path, name: str) -> Path:
    """Nine samples, at a length that is not the example's."""
    generator = np.random.default_rng(5)
    rows: arrays.Arrays = {}
    for declared in CASES[name][0]:
        shape = [9, *(7 if isinstance(s, str) else s for s in declared["shape"][1:])]
        if declared["dtype"] == "int64":
            rows[declared["name"]] = generator.integers(0, 8, shape)
        else:
            rows[declared["name"]] = generator.standard_normal(shape).astype(np.float32)
    arrays.save(path, rows)
    return path


@pytest.mark.parametrize(
    ("name", "method"),
    by_day(
        [
            ("cnn", "trace"),
            ("cnn", "export"),
            ("clipped", "export"),
            ("windows", "export"),
            ("lstm", "trace"),
            ("lstm", "export"),
            ("branch", "script"),
            ("dict", "trace"),
            ("attention", "trace"),
            ("attention", "export"),
            ("padded", "trace"),
            ("padded", "export"),
        ]
    ),
)
def test_an_export_agrees_with_its_capture_at_other_sizes(
    tmp_path: Path, name: str, method: str
) -> None:
    captured = capture(zoo.write(tmp_path / "project", name), name, method)
    made = export(captured, name)
    assert made.io == captured.io
    samples = write_samples(tmp_path / "in.npz", name)
    got = run("onnx", "onnx", made, name, samples)
    want = run("torch", "torch", captured, name, samples).arrays()
    assert got.json("run")["batch_sizes"] == [1, 9]
    for output, array in got.arrays().items():
        expected = want[output].astype(np.float64)
        assert np.ptp(expected, axis=0).max() > 1e-3
        np.testing.assert_allclose(array.astype(np.float64), expected, rtol=1e-4, atol=1e-5)


def test_parts_whose_names_torch_fx_keeps_reach_onnx_under_their_own(tmp_path: Path) -> None:
    captured = capture(zoo.write(tmp_path / "project", "reserved"), "reserved", "export")
    made = export(captured, "reserved")
    # In a protobuf each name comes after its length.
    for name in (b"meta.weight", b"meta.bias", b"graph.meta.weight", b"code", b"recompile"):
        assert bytes([len(name)]) + name in made.bytes
    assert modules.RENAMED.encode() not in made.bytes
    samples = write_samples(tmp_path / "in.npz", "reserved")
    got = run("onnx", "onnx", made, "reserved", samples).arrays()["y"]
    want = run("torch", "torch", captured, "reserved", samples).arrays()["y"]
    np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["trace", "export"])
def test_equal_bytes_in_other_processes_and_no_paths(tmp_path: Path, method: str) -> None:
    captured = capture(zoo.write(tmp_path / "project"), "cnn", method)
    one, two = export(captured, "cnn"), export(captured, "cnn", hash_seed="7")
    assert one.bytes == two.bytes
    assert str(tmp_path).encode() not in one.bytes
    assert b"torch/" not in one.bytes
    assert b"model.py" not in one.bytes


def test_the_opset_is_the_one_asked_for_or_an_error(tmp_path: Path) -> None:
    project = zoo.write(tmp_path / "project")
    traced, exported = capture(project, "cnn", "trace"), capture(project, "cnn", "export")
    assert export(traced, "cnn", opset=13).error is None
    assert export(exported, "cnn", opset=18).error is None
    refused = export(exported, "cnn", opset=9)
    assert refused.field == "options.opset"
    assert "not 9" in refused.message


@pytest.mark.parametrize(
    ("method", "message", "hint"),
    [
        ("trace", "operator `aten::special_bessel_j0` (in `inner`)", "`route: exported`"),
        ("export", "operator `aten::special_bessel_j0`", "`route: torchscript`"),
    ],
)
def test_an_operator_without_counterpart_is_named(
    tmp_path: Path, method: str, message: str, hint: str
) -> None:
    captured = capture(zoo.write(tmp_path / "project", "exotic"), "exotic", method)
    got = export(captured, "exotic")
    assert message in got.message
    assert hint in got.hint


@pytest.mark.parametrize("opset", [17, 20])
def test_operators_are_named_after_their_modules(tmp_path: Path, opset: int) -> None:
    captured = capture(zoo.write(tmp_path / "project"), "cnn", "export")
    made = tmp_path / "made.onnx"
    made.write_bytes(export(captured, "cnn", opset=opset).bytes)
    code = tmp_path / "names.py"
    code.write_text("import onnx, sys\nfor n in onnx.load(sys.argv[1]).graph.node: print(n.name)\n")
    # The norm was folded into the convolution.
    assert script("onnx", code, str(made)).split() == [
        "/conv/Conv",
        "/Relu",
        "/Reshape",
        "/head/Gemm",
    ]
