"""A small ONNX model that is written by hand, with what it is expected to give.

y = x @ W + sum over T of E[ids]; positive = y > 0. Two inputs, a varying length beside the batch, integers
that must not leave a table, and an output that is no float.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from buildsys.backends.kit.protocol.contract import Contract, Port
from tests.support.harness import interpreter, port

RNG = np.random.default_rng(11)
WEIGHT = RNG.standard_normal((3, 4)).astype(np.float32)
TABLE = RNG.standard_normal((8, 4)).astype(np.float32)
PORTS = [
    port("x", ["N", 3], N=(1, 64, 2)),
    port("ids", ["N", "T"], "int64", span=[0, 7], N=(1, 64, 2), T=(1, 12, 5)),
]
OUTPUTS = ["y", "positive"]
CONTRACT = Contract(
    [Port("x", ["N", 3], "float32"), Port("ids", ["N", "T"], "int64")],
    [Port("y", ["N", 4], "float32"), Port("positive", ["N", 4], "bool")],
)
METADATA = {"project": "small", "model": "net", "version": "1.2.0"}
SCRIPT = """
import sys, json, numpy as np, onnx
from onnx import helper as h, TensorProto as T, numpy_helper as n
weight, table = (np.array(v, np.float32) for v in json.load(sys.stdin))
value = h.make_tensor_value_info
graph = h.make_graph(
    [
        h.make_node("MatMul", ["x", "W"], ["xw"]),
        h.make_node("Gather", ["E", "ids"], ["rows"]),
        h.make_node("ReduceSum", ["rows", "axis"], ["sum"], keepdims=0),
        h.make_node("Add", ["xw", "sum"], ["y"]),
        h.make_node("Greater", ["y", "zero"], ["positive"]),
    ],
    "small",
    [value("x", T.FLOAT, ["N", 3]), value("ids", T.INT64, ["N", "T"])],
    [value("y", T.FLOAT, ["N", 4]), value("positive", T.BOOL, ["N", 4])],
    [
        n.from_array(weight, "W"),
        n.from_array(table, "E"),
        n.from_array(np.array([1], np.int64), "axis"),
        n.from_array(np.array(0, np.float32), "zero"),
    ],
)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
open(sys.argv[1], "wb").write(model.SerializeToString(deterministic=True))
"""


def write(folder: Path) -> dict[str, Path]:
    """Writes the file and its contract; gives them as a step's inputs."""
    import json

    folder.mkdir(parents=True, exist_ok=True)
    given = json.dumps([WEIGHT.tolist(), TABLE.tolist()])
    made = folder / "model.onnx"
    subprocess.run([interpreter("onnx"), "-c", SCRIPT, made], input=given, text=True, check=True)
    CONTRACT.write(folder / "io.json")
    return {"artifact": made, "io": folder / "io.json"}


def feed(rows: int, length: int, seed: int) -> dict[str, Any]:
    """Random inputs."""
    generator = np.random.default_rng(seed)
    return {
        "x": generator.standard_normal((rows, 3)).astype(np.float32),
        "ids": generator.integers(0, 8, (rows, length)),
    }


def expected(fed: dict[str, Any]) -> dict[str, Any]:
    """What the model gives, by numpy."""
    y = fed["x"] @ WEIGHT + TABLE[fed["ids"]].sum(axis=1)
    return {"y": y, "positive": y > 0}
