"""What its own precision costs an ONNX file, and what it gives with an artifact's weights."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.inspect import single_numbers
from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.run.signals import signal_error
from tests.support.harness import Result, interpreter, port, run_worker

pytestmark = pytest.mark.toolchain

MAKER = """
import numpy as np, onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh

def make(name, nodes, weights=()):
    values = [h.make_tensor_value_info("x", T.FLOAT, ["N", 3, 8])]
    results = [h.make_tensor_value_info("y", T.FLOAT, ["N", "C", "L"])]
    graph = h.make_graph(nodes, "g", values, results, [nh.from_array(w, n) for n, w in dict(weights).items()])
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, name + ".onnx")

n = h.make_node
f = lambda *v: np.array(v, np.float32)
large = n("Constant", [], ["c"], value_float=1e4)
make("cancelling", [large, n("Add", ["x", "c"], ["t"]), n("Sub", ["t", "c"], ["y"])])

def branch(name, factor):
    value = nh.from_array(f(factor, factor, factor).reshape(1, 3, 1))
    nodes = [n("Constant", [], [name], value=value), n("Mul", ["pooled", name], [name + "_y"])]
    return h.make_graph(nodes, name, [], [h.make_tensor_value_info(name + "_y", T.FLOAT, None)])

make("whole", [
    n("Conv", ["x", "w"], ["conv"], pads=[1, 1]),
    n("Cast", ["conv"], ["same"], to=T.FLOAT),
    n("MaxPool", ["same"], ["halved"], kernel_shape=[2], strides=[2]),
    n("GlobalMaxPool", ["halved"], ["pooled"]),
    n("Shape", ["pooled"], ["sizes"]),
    n("ConstantOfShape", ["sizes"], ["zeros"]),
    n("Size", ["x"], ["count"]),
    n("Greater", ["count", "none"], ["any"]),
    n("If", ["any"], ["chosen"], then_branch=branch("yes", 3.0), else_branch=branch("no", 5.0)),
    n("Add", ["chosen", "zeros"], ["y"]),
], {"w": np.random.default_rng(0).standard_normal((3, 3, 3)).astype(np.float32), "none": np.array(0)})
make("numbers", [
    n("Mul", ["x", "scale"], ["scaled"]),
    n("LeakyRelu", ["scaled"], ["leaky"], alpha=0.3),
    n("Mul", ["leaky", "w"], ["y"]),
], {"scale": np.array(0.7, np.float32), "w": f(1.1, 1.2, 1.3).reshape(3, 1)})
make("integers", [
    n("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), n("DequantizeLinear", ["q", "s", "z"], ["y"]),
])
make("random", [n("RandomNormalLike", ["x"], ["r"]), n("Add", ["x", "r"], ["y"])])
"""
X = np.random.default_rng(1).standard_normal((6, 3, 8)).astype(np.float32)
CONTRACT = Contract([Port("x", ["N", 3, 8], "float32")], [Port("y", ["N", "C", "L"], "float32")])
STEPS = {
    "floor": {"floor": "floor.json"},
    "rounded": {"samples": "s.npz", "edge_outputs": "e.npz", "told": "told.json"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("floor")
    subprocess.run([interpreter("onnx"), "-c", MAKER], cwd=folder, check=True)
    CONTRACT.write(folder / "io.json")
    arrays.save(folder / "samples.npz", {"x": X})
    arrays.save(folder / "edges.npz", {"zeros/x": np.zeros((1, 3, 8), np.float32)})
    return folder


def run(files: Path, step: str, name: str, **inputs: Path) -> Result:
    given = {"artifact": files / f"{name}.onnx", "io": files / "io.json"}
    return run_worker(
        "onnx",
        "onnx",
        f"source.{step}:{step}",
        inputs={**given, "samples": files / "samples.npz", **inputs},
        outputs=STEPS[step],
        options={"ports": [port("x", ["N", 3, 8], N=(1, 4, 2))], "outputs": ["y"]},
    )


def whole(weight: Any, factor: float, dtype: Any = np.float64) -> Any:
    """What the file `whole` computes, in numpy."""
    padded = np.pad(X.astype(dtype), ((0, 0), (0, 0), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)
    conv = np.einsum("nclk,ock->nol", windows, weight.astype(dtype))
    return conv.max(axis=2, keepdims=True) * factor


def test_the_floors_are_what_rounding_costs(files: Path) -> None:
    found = run(files, "floor", "cancelling").json("floor")
    assert found["samples"] == len(X)
    exact = X.astype(np.float64)
    for word, rounded in (
        ("float32", (X + np.float32(1e4)) - np.float32(1e4)),
        ("float16", X.astype(np.float16).astype(np.float32) + np.float32(1e4)),
    ):
        if word == "float16":
            rounded = (rounded.astype(np.float16).astype(np.float32) - 1e4).astype(np.float16)
        expected = signal_error(np.asarray(rounded), exact)
        assert found[word]["y"]["signal_error"] == pytest.approx(expected, rel=1e-6)


def test_all_of_a_graph_is_run_in_other_precisions(files: Path) -> None:
    found = run(files, "floor", "whole").json("floor")
    assert 1e-9 < found["float32"]["y"]["signal_error"] < 1e-6
    assert 5e-5 < found["float16"]["y"]["signal_error"] < 2e-3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("integers", "`DynamicQuantizeLinear` computes with integers"),
        ("random", "`RandomNormalLike` is random"),
    ],
)
def test_what_has_no_floor_says_why(files: Path, name: str, reason: str) -> None:
    found = run(files, "floor", name).json("floor")
    for word in ("float32", "float16", "float16 weights"):
        assert found[word]["y"]["reason"].startswith(reason)


def held(files: Path, **weights: Any) -> Path:
    path = files / f"{'-'.join(weights)}.npz"
    arrays.save(path, weights)
    return path


def test_the_file_is_given_an_artifact_s_weights(files: Path) -> None:
    weight = np.random.default_rng(2).standard_normal((3, 3, 3)).astype(np.float32)
    branch = np.full((1, 3, 1), 2, np.float32)
    given = held(files, w=weight, yes=branch)
    made = run(files, "rounded", "whole", held=given, edges=files / "edges.npz")
    assert made.json("told") == {"reason": None, "numbers": []}
    np.testing.assert_allclose(made.arrays()["y"].astype(float), whole(weight, 2), rtol=1e-5)
    np.testing.assert_array_equal(made.arrays("edge_outputs")["zeros/y"], np.zeros((1, 3, 1)))


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({}, "none of its weights is rounded"),
        ({"v": np.zeros(3, np.float32)}, "`v` is not a constant of the original's graph"),
        (
            {"none": np.zeros((), np.float32)},
            "`none` is stored as int64, and cannot be another float",
        ),
    ],
)
def test_weights_that_it_cannot_be_given_are_told(
    files: Path, weights: dict[str, Any], reason: str
) -> None:
    given = held(files, **weights)
    made = run(files, "rounded", "whole", held=given, edges=files / "edges.npz")
    assert made.json("told") == {"reason": reason, "numbers": []}
    assert made.arrays() == {}


def test_it_takes_the_single_numbers_that_an_artifact_holds(files: Path) -> None:
    scale, alpha = (float(np.float16(number)) for number in (0.7, 0.3))
    weight = np.array([[1.1], [1.2], [1.3]], np.float16).astype(np.float32)
    given = files / "numbers.npz"
    numbers = np.array([scale, 0.123, alpha])
    arrays.save(given, {"w": weight, single_numbers.NAME: numbers})
    made = run(files, "rounded", "numbers", held=given, edges=files / "edges.npz")
    # What no number of the file was is said, and changes nothing.
    assert made.json("told") == {"reason": None, "numbers": [1]}
    scaled = X.astype(np.float64) * scale
    expected: Any = np.where(scaled < 0, alpha * scaled, scaled) * weight
    np.testing.assert_allclose(made.arrays()["y"].astype(float), expected, rtol=3e-7)


def test_the_floor_of_weights_is_what_rounding_them_costs(files: Path) -> None:
    found = run(files, "floor", "numbers").json("floor")["float16 weights"]["y"]
    exact = np.where(X < 0, X * 0.3, X).astype(np.float64) * 0.7
    weight = np.array([[1.1], [1.2], [1.3]])
    expected = signal_error(exact * weight.astype(np.float16), exact * weight)
    assert found["signal_error"] == pytest.approx(expected, rel=1e-2)
