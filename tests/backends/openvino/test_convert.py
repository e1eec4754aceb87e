"""OpenVINO models made of ONNX: values, names, ranges of sizes, bytes, errors."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.backends.openvino.steps import convert, error, expected, run
from tests.support.harness import Result, interpreter
from tests.support.scripts import digest

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def made(models: Path) -> dict[str, Result]:
    return {name: convert(models, name) for name in ("cnn", "text", "lone")}


@pytest.mark.parametrize(("name", "batches"), [("cnn", [1, 12]), ("text", [1, 12]), ("lone", [1])])
def test_values_and_names_are_the_model_s(
    models: Path, made: dict[str, Result], name: str, batches: list[int]
) -> None:
    done = run(models, name, made[name])
    found = done.arrays()
    assert error(models, name, found) < 1e-5
    for output, array in expected(models, name).items():
        assert found[output].dtype == array.dtype
        if array.dtype == "int64":
            assert (found[output] == array).all()
    assert done.json("run")["batch_sizes"] == batches
    assert done.json("run")["runtime"] == "openvino 2026.4.1"
    assert made[name].notes == []


KINDS = """
import openvino as ov
from openvino import opset13 as op
x = op.parameter([8, 64, 64], name="x")
chain = op.add(op.multiply(op.sigmoid(op.exp(x)), x), op.divide(x, op.exp(x)))
model, core = ov.Model([chain], [x]), ov.Core()
for settings in ({}, {"SNIPPETS_MODE": "DISABLE"}):
    made = core.compile_model(model, "CPU", settings)
    kinds = {node.get_rt_info()["layerType"].astype(str) for node in made.get_runtime_model().get_ops()}
    print("Subgraph" in kinds)
"""


def test_a_run_without_generated_kernels(models: Path, made: dict[str, Result]) -> None:
    """OpenVINO takes the setting, and it is what leaves them out."""
    for name in ("cnn", "lone"):
        plain = dict(np.load(run(models, name, made[name]).outputs["plain"]))
        wanted = {key: array[:4] for key, array in expected(models, name).items()}
        assert {key: len(array) for key, array in plain.items()} == dict.fromkeys(wanted, 4)
        for key, array in wanted.items():
            assert np.abs(plain[key] - array).max() < 1e-5 * np.abs(array).max()
    command = [str(interpreter("openvino")), "-c", KINDS]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "False"]


UNSHAPED = """
import sys, onnx
model = onnx.load(sys.argv[1])
for given in model.graph.input:
    given.type.tensor_type.ClearField("shape")
onnx.save(model, sys.argv[2])
"""


def test_a_rank_that_the_file_does_not_say_is_the_recipe_s(
    models: Path, made: dict[str, Result], tmp_path: Path
) -> None:
    bare = tmp_path / "bare.onnx"
    command = [interpreter("openvino"), "-c", UNSHAPED, models / "cnn.onnx", bare]
    subprocess.run([*map(str, command)], check=True)
    done = convert(models, "cnn", bare)
    assert error(models, "cnn", run(models, "cnn", done).arrays()) < 1e-5
    assert done.io == made["cnn"].io
    (note,) = done.notes
    assert "only with the recipe's sizes of its inputs written into it" in note


def test_sizes_keep_their_ranges(made: dict[str, Result]) -> None:
    xml = (made["text"].artifact / "model.xml").read_text()
    assert '<data shape="1..64,2..12" element_type="i64"/>' in xml
    assert xml.index('name="ids"') < xml.index('name="mask"')
    assert sorted(p.name for p in made["text"].artifact.iterdir()) == ["model.bin", "model.xml"]


def test_equal_bytes_from_elsewhere(models: Path, made: dict[str, Result], tmp_path: Path) -> None:
    for name in ("cnn", "lone"):  # The second has a loop's body inside.
        other = tmp_path / "elsewhere" / f"{name}-copy.onnx"
        other.parent.mkdir(exist_ok=True)
        shutil.copy(models / f"{name}.onnx", other)
        again = convert(models, name, other, hash_seed="9", threads=1)
        assert digest(again.artifact) == digest(made[name].artifact)
    text = (made["cnn"].artifact / "model.xml").read_bytes()
    assert str(models).encode() not in text
    assert b'name="c1" type="Const"' in text


def test_an_operator_without_counterpart_is_named(models: Path) -> None:
    done = convert(models, "unknown")
    assert done.message == (
        "OpenVINO 2026.4.1 has no counterpart for the ONNX operator `StringNormalizer` (in `block.1`)"
    )
    assert "ship this model as `onnx`" in done.hint
    assert done.field == "format"
