"""Makes small ONNX models without torch: `python models.py FOLDER`, in the toolchain `openvino`.

Of each: `NAME.onnx`, `NAME.io.json`, `NAME.options.json`, and `NAME.npz` with samples and what ONNX's
own reference makes of them. Weights are seeded; no output is dead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

SAMPLES = 12
RANDOM = np.random.default_rng(0)
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
TYPES = {FLOAT: "float32", INT: "int64", BOOL: "bool"}
N = {"min": 1, "max": 64, "example": 1}
T = {"min": 2, "max": 12, "example": 5}


def weight(name: str, *shape: int) -> Any:
    return numpy_helper.from_array((RANDOM.standard_normal(shape) * 0.3).astype(np.float32), name)


def node(kind: str, inputs: str, output: str, name: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], name=name, **attributes)


def value(name: str, kind: int, shape: list[Any] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def cnn() -> Any:
    nodes = [
        node("Conv", "image c1 b1", "f1", "/body/0/Conv", pads=[1] * 4),
        node("Relu", "f1", "r1", "/body/1/Relu"),
        node("MaxPool", "r1", "m1", "/body/2/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "m1 c2 b2", "f2", "/body/3/Conv", pads=[1] * 4),
        node("Relu", "f2", "r2", "/body/4/Relu"),
        node("GlobalAveragePool", "r2", "g", "/pool/GlobalAveragePool"),
        node("Flatten", "g", "flat", "/Flatten"),
        node("Gemm", "flat head.weight head.bias", "logits", "/head/Gemm", transB=1),
    ]
    weights = [weight("c1", 16, 1, 3, 3), weight("b1", 16), weight("c2", 32, 16, 3, 3)]
    weights += [weight("b2", 32), weight("head.weight", 10, 32), weight("head.bias", 10)]
    inputs = [value("image", FLOAT, ["N", 1, 8, 8])]
    return nodes, inputs, [value("logits", FLOAT, ["N", 10])], weights


def text() -> Any:
    """Integers, a mask, three outputs of which one is of integers, and two sizes that vary."""
    nodes = [
        node("Gather", "embedding ids", "words", "/embedding/Gather"),
        node("Cast", "mask", "weights", "/Cast", to=FLOAT),
        node("Unsqueeze", "weights last", "wide", "/Unsqueeze"),
        node("Mul", "words wide", "masked", "/Mul"),
        node("ReduceMean", "masked", "pooled", "/Mean", axes=[1], keepdims=0),
        node("MatMul", "pooled head", "raw", "/head/MatMul"),
        node("Add", "raw head.bias", "scores", "/head/Add"),
        node("ArgMax", "scores", "label", "/ArgMax", axis=1, keepdims=0),
        node("Identity", "masked", "states", "/Identity"),
    ]
    weights = [weight("embedding", 50, 16), weight("head", 16, 3), weight("head.bias", 3)]
    weights.append(numpy_helper.from_array(np.array([-1]), "last"))
    outputs = [value("scores", FLOAT, ["N", 3]), value("label", INT, ["N"])]
    outputs.append(value("states", FLOAT, ["N", "T", 16]))
    inputs = [value("ids", INT, ["N", "T"]), value("mask", BOOL, ["N", "T"])]
    return nodes, inputs, outputs, weights


def lone() -> Any:
    """No batch axis, a name with a colon, a loop over the rows, and an output that is an input's copy."""
    row = [
        node("MatMul", "state_in inner", "mixed", "/loop/MatMul"),
        node("Add", "mixed row", "state_out", "/loop/Add"),
        node("Identity", "state_out", "seen", "/loop/Identity"),
    ]
    body = helper.make_graph(
        row,
        "body",
        [value("state_in", FLOAT, [4]), value("row", FLOAT, [4])],
        [value("state_out", FLOAT, [4]), value("seen", FLOAT, [4])],
        [weight("inner", 4, 4)],
    )
    scan = helper.make_node(
        "Scan", ["start", "window:0"], ["last", "all"], "/loop/Scan", body=body, num_scan_inputs=1
    )
    nodes = [
        scan,
        node("Identity", "last", "state", "/Identity"),
        node("Identity", "last", "again", "/Identity_1"),
    ]
    start = numpy_helper.from_array(np.ones(4, np.float32), "start")
    outputs = [value(name, FLOAT, [4]) for name in ("state", "again")]
    return nodes, [value("window:0", FLOAT, [6, 4])], outputs, [start]


def memory() -> Any:
    """Two recurrent layers, as PyTorch's come: [steps, batch, features], and a matrix."""
    nodes = [
        node("Transpose", "window", "steps", "/Transpose", perm=[1, 0, 2]),
        node("LSTM", "steps lw lr lb", "ls", "/first/LSTM", hidden_size=8),
        node("Squeeze", "ls one", "l", "/first/Squeeze"),
        node("GRU", "l gw gr gb", "gs", "/second/GRU", hidden_size=6, linear_before_reset=1),
        node("ReduceMean", "gs", "pooled", "/Mean", axes=[0, 1], keepdims=0),
        node("MatMul", "pooled head", "scores", "/head/MatMul"),
    ]
    weights = [weight("lw", 1, 32, 4), weight("lr", 1, 32, 8), weight("lb", 1, 64)]
    weights += [weight("gw", 1, 18, 8), weight("gr", 1, 18, 6), weight("gb", 1, 36)]
    weights += [weight("head", 6, 5), numpy_helper.from_array(np.array([1]), "one")]
    outputs = [value("scores", FLOAT, ["N", 5])]
    return nodes, [value("window", FLOAT, ["N", 6, 4])], outputs, weights


def branches() -> Any:
    """What the numbers say decides which of two matrices they go through."""
    sides = {
        f"{side}_branch": helper.make_graph(
            [node("MatMul", f"hidden {side}", f"{side}.out", f"/{side}/MatMul")],
            side,
            [],
            [value(f"{side}.out", FLOAT, None)],
            [weight(side, 16, 5)],
        )
        for side in ("then", "else")
    }
    nodes = [
        node("MatMul", "x wide", "mixed", "/wide/MatMul"),
        node("Relu", "mixed", "hidden", "/Relu"),
        node("ReduceSum", "x", "most", "/ReduceSum", keepdims=0),
        node("Greater", "most zero", "positive", "/Greater"),
        helper.make_node("If", ["positive"], ["scores"], "/If", **sides),
    ]
    weights = [weight("wide", 8, 16), numpy_helper.from_array(np.float32(0), "zero")]
    return nodes, [value("x", FLOAT, ["N", 8])], [value("scores", FLOAT, ["N", 5])], weights


def unknown() -> Any:
    nodes = [
        node("Relu", "x", "r", "/block/0/Relu"),
        node("StringNormalizer", "words", "y", "/block/1/StringNormalizer"),
    ]
    inputs = [value("x", FLOAT, ["N", 4]), value("words", TensorProto.STRING, [1])]
    outputs = [value("r", FLOAT, ["N", 4]), value("y", TensorProto.STRING, [1])]
    return nodes, inputs, outputs, []


def bare() -> Any:
    """Nothing in it to quantize."""
    return (
        [node("Relu", "x", "y", "/Relu")],
        [value("x", FLOAT, ["N", 4])],
        [value("y", FLOAT, ["N", 4])],
        [],
    )


MODELS: dict[str, Callable[[], Any]] = {
    "cnn": cnn,
    "text": text,
    "lone": lone,
    "memory": memory,
    "branches": branches,
    "unknown": unknown,
    "bare": bare,
}


def shape_of(info: Any) -> list[Any]:
    return [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]


def port(info: Any) -> dict[str, Any]:
    shape = shape_of(info)
    kind = info.type.tensor_type.elem_type
    return {
        "name": info.name,
        "shape": shape,
        "dtype": TYPES.get(kind, "float32"),
        "dims": {s: {"N": N, "T": T}[s] for s in shape if isinstance(s, str)},
        "range": [0, 49] if kind == INT else None,
        "layout": None,
    }


def sample(described: dict[str, Any]) -> Any:
    """[SAMPLES, ...] of a length that is not the example's."""
    batched = "N" in described["shape"]
    sizes = [{"N": SAMPLES, "T": 7}.get(s, s) for s in described["shape"]]
    shape = sizes if batched else [SAMPLES, *sizes]
    if described["dtype"] == "float32":
        return RANDOM.standard_normal(shape).astype(np.float32)
    return RANDOM.integers(0, 50 if described["dtype"] == "int64" else 2, shape).astype(
        described["dtype"]
    )


def expected(model: Any, inputs: dict[str, Any], batched: bool) -> list[Any]:
    reference = ReferenceEvaluator(model)
    if batched:
        return list(reference.run(None, inputs))
    rows = [reference.run(None, {k: v[i] for k, v in inputs.items()}) for i in range(SAMPLES)]
    return [np.stack(output) for output in zip(*rows, strict=True)]


def write(name: str, folder: Path) -> None:
    nodes, inputs, outputs, weights = MODELS[name]()
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / f"{name}.onnx")
    ports = [port(info) for info in inputs]
    options: dict[str, Any] = {
        "ports": ports,
        "outputs": [o.name for o in outputs],
        "format": {},
        "scheme": None,
    }
    (folder / f"{name}.options.json").write_text(json.dumps(options))
    blank = {"layout": None, "artifact_name": None, "permutation": None}
    contract = {
        "inputs": [{k: p[k] for k in ("name", "shape", "dtype")} | blank for p in ports],
        "outputs": [
            {
                "name": o.name,
                "shape": shape_of(o),
                "dtype": TYPES.get(o.type.tensor_type.elem_type, "float32"),
            }
            | blank
            for o in outputs
        ],
    }
    (folder / f"{name}.io.json").write_text(json.dumps(contract))
    if name == "unknown":
        return
    samples = {p["name"]: sample(p) for p in ports}
    np.savez(folder / f"{name}.samples.npz", **samples)
    found = expected(model, samples, "N" in ports[0]["shape"])
    for array in found:
        assert np.ptp(array.astype(float), axis=0).max() > 1e-3, "the output is dead"
    np.savez(
        folder / f"{name}.npz",
        **{o.name: array for o, array in zip(outputs, found, strict=True)},
    )


if __name__ == "__main__":
    for each in MODELS:
        write(each, Path(sys.argv[1]))
