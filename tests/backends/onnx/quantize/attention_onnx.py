"""Quantizes a transformer and a GRU by every scheme, and prints errors and notes as JSON.

Run in the toolchain `onnx`. Arguments: the package's folder, a folder to work in, profiles as JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, sys.argv[1])

from backends.kit.protocol import arrays  # type: ignore[import-not-found]
from backends.kit.protocol.contract import Contract  # type: ignore[import-not-found]
from backends.kit.protocol.request import Request, StepError  # type: ignore[import-not-found]
from backends.kit.quantize import held_out  # type: ignore[import-not-found]
from backends.onnx import graph  # type: ignore[import-not-found]
from backends.onnx.quantize import observing  # type: ignore[import-not-found]
from backends.onnx.quantize import worker as quantize

WIDE, LONG, WORDS = 16, 12, 50
LEAST = float(np.finfo(np.float32).min)
DRAW = np.random.default_rng(7)
Node = Any


class Parts:
    """Nodes and constants of a graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: list[Any] = []

    def weight(self, *shape: int) -> str:
        return self.constant(DRAW.normal(size=shape).astype(np.float32) / shape[0] ** 0.5)

    def constant(self, values: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def __call__(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        names = [
            each if isinstance(each, str) else self.constant(np.float32(each)) for each in inputs
        ]
        output = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], f"/{output}", **attributes))
        return output

    def model(self, output: str, shape: list[Any], **inputs: tuple[int, list[Any]]) -> Any:
        self.nodes.append(helper.make_node("Identity", [output], ["out"], "/out"))
        made = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info(name, *given) for name, given in inputs.items()],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
            self.constants,
        )
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def transformer(hidden: float) -> Any:
    """A layer of attention, whose mask is of `hidden` where nothing may look, and positions."""
    p = Parts()
    x = p("Gather", p.weight(WORDS, WIDE), "ids")
    counts = p.constant(np.arange(LONG, dtype=np.int64))
    # An angle that no float16 has the integer part of.
    angles = p("Mul", p("Cast", counts, to=TensorProto.FLOAT), 1003.7)
    x = p("Add", x, p("Unsqueeze", p("Sin", angles), p.constant(np.array([1]))))

    def norm(of: str) -> str:
        gain = p.constant(DRAW.uniform(0.5, 1.5, WIDE).astype(np.float32))
        return p("LayerNormalization", of, gain, axis=-1)

    before = norm(x)
    queries, keys, values = (p("MatMul", before, p.weight(WIDE, WIDE)) for _ in range(3))
    scores = p("Div", p("MatMul", queries, p("Transpose", keys, perm=[0, 2, 1])), WIDE**0.5)
    row = p("Unsqueeze", "mask", p.constant(np.array([1])))
    if np.isinf(hidden):
        scores = p("Where", p("Cast", row, to=TensorProto.BOOL), scores, hidden)
    else:
        row = p("Cast", row, to=TensorProto.FLOAT)
        scores = p("Add", scores, p("Mul", p("Sub", 1.0, row), hidden))
    x = p("Add", x, p("MatMul", p("Softmax", scores, axis=-1), values))
    inner = p("MatMul", norm(x), p.weight(WIDE, 2 * WIDE))
    half = p("Mul", p("Add", p("Erf", p("Div", inner, 2**0.5)), 1.0), 0.5)
    x = p("Add", x, p("MatMul", p("Mul", inner, half), p.weight(2 * WIDE, WIDE)))
    ids = (TensorProto.INT64, ["N", LONG])
    return p.model(x, ["N", LONG, WIDE], ids=ids, mask=ids)


def gru(*between: str) -> Any:
    """A GRU over the second axis, and a matrix product behind a transpose, as torch's exporter has it.

    Args:
        between: Operators between the two.
    """
    p = Parts()
    steps = p("Transpose", "window", perm=[1, 0, 2])
    weights = (p.weight(1, 3 * WIDE, 6), p.weight(1, 3 * WIDE, WIDE), p.weight(1, 6 * WIDE))
    x = p("GRU", steps, *weights, hidden_size=WIDE, linear_before_reset=1)
    x = p("Transpose", p("Squeeze", x, p.constant(np.array([1]))), perm=[1, 0, 2])
    for kind in between:
        x = p(kind, x)
    x = p("MatMul", x, p.weight(WIDE, 5))
    return p.model(x, ["N", LONG, 5], window=(TensorProto.FLOAT, ["N", LONG, 6]))


def residual() -> Any:
    """Convolutions with a sum between them, and a pool whose borders are minus infinity."""
    p = Parts()

    def layer(of: str) -> str:
        return p("Conv", of, p.weight(8, 8, 3, 3), pads=[1] * 4)

    x = p("Relu", layer("image"))
    x = p("Relu", p("Add", x, layer(x)))
    borders = p.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    x = p("MaxPool", p("Pad", x, borders, -np.inf), kernel_shape=[3, 3])
    shape = ["N", 8, 6, 6]
    return p.model(layer(x), shape, image=(TensorProto.FLOAT, shape))


def drawn(value: Any, n: int) -> Any:
    sizes = [size.dim_value for size in value.type.tensor_type.shape.dim[1:]]
    if value.type.tensor_type.elem_type == TensorProto.INT64:
        found = DRAW.integers(0, 2 if value.name == "mask" else WORDS, [n, *sizes])
        if value.name == "mask":
            found[:, 0] = 1  # Minus infinity everywhere is no softmax.
        return found
    return DRAW.normal(size=[n, *sizes]).astype(np.float32)


def one(folder: Path, name: str, settings: Any) -> dict[str, Any]:
    """What came of a profile."""
    work = folder / name
    (work / "scratch").mkdir(parents=True)
    source = onnx.load(folder / "float.onnx")
    ports = [
        {
            "name": port.name,
            "shape": port.shape,
            "dtype": port.dtype,
            "dims": {"N": {"min": 1, "max": 64, "example": 1}},
            "range": None,
            "layout": None,
        }
        for port in graph.inputs(source)
    ]
    outputs = {"artifact": "model.onnx", "io": "io.json", "ranges": "ranges.json"}
    inputs = {"artifact": "float.onnx", "io": "io.json", "calibration": "data.npz"}
    request = Request(
        {n: folder / f for n, f in inputs.items()},
        {n: work / f for n, f in outputs.items()},
        {"ports": ports, "outputs": ["out"], "quantization": settings},
        work / "scratch",
    )
    try:
        quantize.quantize(request)
    except StepError as error:
        return {"error": error.message, "hint": error.hint}
    fresh = np.load(folder / "fresh.npz")
    feeds = [{n: fresh[n][i : i + 1] for n in fresh} for i in range(16)]
    wanted, got = (
        observing.outputs(path, feeds) for path in (folder / "float.onnx", work / "model.onnx")
    )
    made = onnx.load(work / "model.onnx").graph
    integers = {node.output[0] for node in made.node if node.op_type == "DequantizeLinear"}
    return {
        "signal_error": held_out.signal_error(wanted, got),
        "notes": request.notes,
        "of_integers": Counter(n.op_type for n in made.node if integers & {*n.input}),
    }


def every(folder: Path, model: Any) -> dict[str, Any]:
    folder.mkdir()
    onnx.save(model, folder / "float.onnx")
    Contract(graph.inputs(model), graph.outputs(model)).write(folder / "io.json")
    for name, n in (("data", 48), ("fresh", 16)):
        arrays.save(folder / f"{name}.npz", {v.name: drawn(v, n) for v in model.graph.input})
    profiles = json.loads(sys.argv[3])
    if folder.name == "gru_hidden":
        profiles = {n: s for n, s in profiles.items() if s["scheme"] == "float16"}
    return {n: one(folder, n, s) for n, s in profiles.items()}


MODELS = {
    "least": transformer(LEAST),
    "infinite": transformer(-np.inf),
    "thousands": transformer(-10000.0),
    "gru": gru(),
    "gru_hidden": gru("Identity"),
    "residual": residual(),
}
print(json.dumps({name: every(Path(sys.argv[2]) / name, m) for name, m in MODELS.items()}))
