"""A small ONNX file that takes one of two branches by an input, as voice models do by the sampling rate.

`python chosen_onnx.py FOLDER`, in a toolchain with onnx and ONNX Runtime. At 16000 it is a convolution, an
LSTM and a squeeze of one step, which is an `If` of its own, as exporters write it; otherwise a product.
Both branches call their values alike.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(0)
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
SAMPLES = 6


def weight(name: str, *shape: int) -> Any:
    return numpy_helper.from_array((RANDOM.standard_normal(shape) * 0.5).astype(np.float32), name)


def number(name: str, values: list[int] | int) -> Any:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    named = [name.removesuffix("_") for name in inputs.split(" ")]
    return helper.make_node(kind, named, outputs.split(), f"/{outputs.split()[0]}", **attributes)


def value(name: str, kind: int, shape: list[Any] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def fast() -> Any:
    squeezed = helper.make_graph(
        [node("Squeeze", "steps zero", "one")], "s", [], [value("one", FLOAT, None)]
    )
    kept = helper.make_graph(
        [node("Identity", "steps", "one")], "k", [], [value("one", FLOAT, None)]
    )
    nodes = [
        node("Unsqueeze", "window axis", "wide"),
        node("Conv", "wide c cb", "raw", strides=[4], pads=[1, 2]),
        node("Relu", "raw", "h"),
        node("Transpose", "h", "rows", perm=[2, 0, 1]),
        node("LSTM", "rows w r b", "all last", hidden_size=4),
        node("Shape", "last", "sizes"),
        node("Gather", "sizes zero", "count"),
        node("Equal", "count axis", "alone"),
        node("Identity", "last", "steps"),
        helper.make_node(
            "If", ["alone"], ["state"], "/squeeze", then_branch=squeezed, else_branch=kept
        ),
        node("Unsqueeze", "state end", "scores"),
    ]
    weights = [weight("c", 5, 1, 4), weight("cb", 5), weight("w", 1, 16, 5), weight("r", 1, 16, 4)]
    weights += [weight("b", 1, 32), number("axis", [1]), number("zero", [0])]
    return helper.make_graph(nodes, "fast", [], [value("scores", FLOAT, None)], weights)


def slow() -> Any:
    nodes = [node("MatMul", "window w", "h"), node("Tanh", "h", "scores")]
    return helper.make_graph(
        nodes, "slow", [], [value("scores", FLOAT, None)], [weight("w", 12, 4)]
    )


def write(folder: Path) -> None:
    nodes = [
        node("Equal", "rate usual", "is_usual"),
        helper.make_node(
            "If", ["is_usual"], ["part"], "/rate", then_branch=fast(), else_branch=slow()
        ),
        # The branches differ in rank, which OpenVINO has to know of what a convolution takes.
        node("Conv", "part head", "many"),
        node("Squeeze", "many end", "y"),
    ]
    inputs = [value("window", FLOAT, ["N", 12]), value("rate", INT, [])]
    outputs = [value("y", FLOAT, ["N", 3])]
    weights = [number("usual", 16000), weight("head", 3, 4, 1), number("end", [2])]
    graph = helper.make_graph(nodes, "chosen", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    (folder / "chosen.onnx").write_bytes(model.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    window = RANDOM.standard_normal((SAMPLES, 12)).astype(np.float32)
    rate = np.full(SAMPLES, 16000)
    expected = session.run(None, {"window": window, "rate": np.array(16000)})[0]
    np.savez(folder / "chosen.samples.npz", window=window, rate=rate)
    np.savez(folder / "chosen.npz", y=expected)
    blank = {"layout": None, "artifact_name": None, "permutation": None}
    contract = {
        "inputs": [
            {"name": "window", "shape": ["N", 12], "dtype": "float32"} | blank,
            {"name": "rate", "shape": [], "dtype": "int64"} | blank,
        ],
        "outputs": [{"name": "y", "shape": ["N", 3], "dtype": "float32"} | blank],
    }
    (folder / "chosen.io.json").write_text(json.dumps(contract))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
