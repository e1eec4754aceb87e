"""ONNX files of the user's own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Result, interpreter, port, run_worker

pytestmark = pytest.mark.toolchain

ROW = [port("x", ["N", 6])]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files as other tools write them."""
    folder = tmp_path_factory.mktemp("files")
    script = """
import onnx, numpy as np
from onnx import helper, numpy_helper, TensorProto as T
def make(rows, path, **save):
    weight = numpy_helper.from_array(np.arange(1200, dtype=np.float32).reshape(6, 200), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], doc_string="at /home/me/train.py:3")], "g",
        [helper.make_tensor_value_info("x", T.FLOAT, [rows, 6]),
         helper.make_tensor_value_info("w", T.FLOAT, [6, 200])],
        [helper.make_tensor_value_info("y", T.FLOAT, None)], [weight])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {"built": "/home/me"})
    onnx.save(made, path, **save)
make("batch", "good.onnx")
make(4, "fixed.onnx")
make("batch", "outside.onnx", save_as_external_data=True, location="outside.bin", size_threshold=10)
open("cut.onnx", "wb").write(open("good.onnx", "rb").read()[:2000])
open("empty.onnx", "w")
"""
    subprocess.run([interpreter("onnx"), "-c", script], cwd=folder, check=True)
    return folder


def adopt(path: Path, ports: list[dict[str, Any]], outputs: list[str]) -> Result:
    return run_worker(
        "onnx",
        "onnx",
        "source.adopt:adopt",
        inputs={"source": path},
        options={"source": {"kind": "onnx"}, "ports": ports, "outputs": outputs, "format": {}},
    )


def test_a_file_is_adopted_with_shapes_that_were_seen(files: Path) -> None:
    got = adopt(files / "good.onnx", ROW, ["y"])
    assert [(p.name, p.shape, p.dtype) for p in got.io.inputs] == [("x", ["N", 6], "float32")]
    assert [(p.name, p.shape, p.dtype) for p in got.io.outputs] == [("y", ["N", 200], "float32")]
    assert b"/home/me" not in got.bytes


def test_a_fixed_size_is_declared_as_a_number(files: Path) -> None:
    got = adopt(files / "fixed.onnx", [port("x", [4, 6])], ["y"])
    assert got.io.outputs[0].shape == [4, 200]


@pytest.mark.parametrize(
    ("name", "ports", "outputs", "field", "message"),
    [
        (
            "good.onnx",
            [port("image", ["N", 6])],
            ["y"],
            "inputs",
            "inputs are `x` float32[batch, 6]",
        ),
        (
            "good.onnx",
            ROW,
            ["logits"],
            "outputs",
            "outputs are `y` float32[]; the recipe names logits",
        ),
        ("good.onnx", [port("x", ["N", 6], "int64")], ["y"], "inputs", "`x` int64[N, 6]"),
        ("fixed.onnx", ROW, ["y"], "inputs", "the file has `x` float32[4, 6], the recipe `x`"),
        ("outside.onnx", ROW, ["y"], "source.onnx", "weights in other files (1, for example `w`)"),
        ("cut.onnx", ROW, ["y"], "source.onnx", "does not load: it is damaged"),
        ("empty.onnx", ROW, ["y"], "source.onnx", "it is empty"),
    ],
)
def test_a_file_that_is_not_what_the_recipe_says(
    files: Path,
    name: str,
    ports: list[dict[str, Any]],
    outputs: list[str],
    field: str,
    message: str,
) -> None:
    got = adopt(files / name, ports, outputs)
    assert message in got.message
    assert got.field == field


def test_a_model_beyond_one_file_is_refused_before_it_is_written() -> None:
    script = """
import sys, types, importlib
package = types.ModuleType("backends"); package.__path__ = [sys.argv[1]]; sys.modules["backends"] = package
canonical = importlib.import_module("backends.onnx.canonical")
canonical.LARGEST = 100
import onnx, pathlib
from onnx import helper, TensorProto as T
value = helper.make_tensor_value_info("x", T.FLOAT, ["a" * 200])
out = helper.make_tensor_value_info("y", T.FLOAT, ["a" * 200])
model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out]))
try:
    canonical.save(model, pathlib.Path("never.onnx"))
except Exception as error:
    print(error.message, error.hint)
assert not pathlib.Path("never.onnx").exists()
"""
    import buildsys.backends

    folder = Path(buildsys.backends.__file__).parent
    done = subprocess.run(
        [interpreter("onnx"), "-c", script, folder], text=True, capture_output=True, check=True
    )
    assert "one ONNX file holds less than 2 GiB" in done.stdout
    assert "`format: onnx_external`" in done.stdout
