"""Simplified ONNX files, and ONNX's own reference implementation."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.harness import Result, interpreter
from tests.support.models.onnx_models import Made

pytestmark = pytest.mark.toolchain

INSPECT = Path(__file__).with_name("inspect_onnx.py")


def inspect(*arguments: Path | str) -> Any:
    done = subprocess.run(
        [interpreter("onnx"), INSPECT, *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout) if done.stdout else None


@pytest.fixture(scope="module")
def simplified(bert: Made) -> Result:
    return bert.step("onnx", "onnx", "rewrite.simplify:simplify", simplify=True)


@pytest.fixture(scope="module")
def told(bert: Made, simplified: Result) -> Any:
    return inspect(bert.onnx.artifact, simplified.artifact)


def test_a_simplified_file_is_smaller_and_gives_what_torch_gives(
    bert: Made, simplified: Result, told: Any
) -> None:
    before, after = told
    had, has = len(before["operators"]), len(after["operators"])
    assert has < 0.7 * had
    assert simplified.notes == [f"simplified: {has} operators instead of {had}"]
    bert.agrees(simplified, "onnx", "onnx")


def test_it_is_standard_onnx_with_the_same_inputs_and_outputs(
    bert: Made, simplified: Result, told: Any
) -> None:
    before, after = told
    assert after["domains"] == [""]
    assert after["inputs"] == [[n, "INT64", ["N", "T"]] for n in ("tokens", "mask", "kinds")]
    assert after["inputs"] == before["inputs"]
    assert after["outputs"] == before["outputs"] == [["scores", "FLOAT", ["N", "T", 3]]]
    assert simplified.io == bert.onnx.io


def test_equal_bytes_and_nothing_more_to_do_the_second_time(bert: Made, simplified: Result) -> None:
    again = bert.step(
        "onnx", "onnx", "rewrite.simplify:simplify", hash_seed="7", threads=1, simplify=True
    )
    assert again.bytes == simplified.bytes
    twice = bert.step("onnx", "onnx", "rewrite.simplify:simplify", source=simplified, simplify=True)
    assert "found nothing to simplify" in twice.notes[0]


def test_the_reference_implementation_agrees_with_torch(
    bert: Made, simplified: Result, tmp_path: Path
) -> None:
    """Another implementation than the runtime's, which both made and ran what was compared so far."""
    files = [tmp_path / "exported.onnx", tmp_path / "simplified.onnx"]
    for made, file in zip((bert.onnx, simplified), files, strict=True):
        shutil.copy(made.artifact, file)
    inspect("--evaluate", bert.samples, *files)
    for file in files:
        got = np.load(f"{file}.npz")["scores"]
        np.testing.assert_allclose(got, bert.wanted, rtol=1e-4, atol=1e-4)
