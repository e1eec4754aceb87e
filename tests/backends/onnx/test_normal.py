"""ONNX files that mean the same are the same once normalised, and no others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.backends.onnx.export.test_export import capture, export
from tests.support.harness import interpreter, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain


def normal(path: Path) -> bytes:
    done = run_worker(
        "onnx",
        "onnx",
        "normal:normalise",
        inputs={"artifact": path},
        outputs={"normal": "normal"},
    )
    assert done.error is None, done.log
    return done.outputs["normal"].read_bytes()


def test_order_and_provenance_make_no_difference_and_a_bit_does(tmp_path: Path) -> None:
    source = export(capture(zoo.write(tmp_path, "cnn"), "cnn", "trace"), "cnn").artifact
    script = Path(__file__).with_name("reordered.py")
    subprocess.run([interpreter("onnx"), script, source, tmp_path], check=True)
    same, other = tmp_path / "same.onnx", tmp_path / "other.onnx"
    assert len({path.read_bytes() for path in (source, same, other)}) == 3
    assert normal(same) == normal(source)
    assert normal(other) != normal(source)
