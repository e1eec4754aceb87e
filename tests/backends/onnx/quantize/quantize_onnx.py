"""Quantizes one model by many profiles and prints, as JSON, what came of each; run in the toolchain `onnx`.

Arguments: the package's folder, a folder to work in, and the profiles as JSON: name to settings.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi._pybind_state import quantize_qdq_matmul_4bits

sys.path.insert(0, sys.argv[1])

from backends.kit.protocol import arrays  # type: ignore[import-not-found]
from backends.kit.protocol.contract import Contract, Port  # type: ignore[import-not-found]
from backends.kit.protocol.request import Request, StepError  # type: ignore[import-not-found]
from backends.onnx import stored_weights  # type: ignore[import-not-found]
from backends.onnx.quantize import weights  # type: ignore[import-not-found]
from backends.onnx.quantize import worker as quantize

PORTS = [
    {
        "name": "image",
        "shape": ["N", 3, 8, 8],
        "dtype": "float32",
        "dims": {"N": {"min": 1, "max": 64, "example": 4}},
        "range": None,
        "layout": None,
    }
]
CONTRACT = Contract(
    [Port("image", ["N", 3, 8, 8], "float32")], [Port("scores", ["N", 5], "float32")]
)


def model() -> Any:
    """A convolution, an LSTM over its rows, a matrix product and a linear layer."""
    draw = np.random.default_rng(3)
    weights = {
        "body.0.weight": draw.normal(size=(16, 3, 3, 3)) / 5,
        "body.0.bias": draw.normal(size=16) / 10,
        "lstm.W": draw.normal(size=(1, 4 * 24, 16 * 8)) / 12,
        "lstm.R": draw.normal(size=(1, 4 * 24, 24)) / 6,
        "lstm.B": draw.normal(size=(1, 8 * 24)) / 10,
        "middle.weight": draw.normal(size=(24, 32)) / 5,
        "head.weight": draw.normal(size=(5, 32)) / 5,
        "head.bias": draw.normal(size=5) / 5,
    }
    nodes = [
        helper.make_node(
            "Conv", ["image", "body.0.weight", "body.0.bias"], ["c"], "/body/0/Conv", pads=[1] * 4
        ),
        helper.make_node("Relu", ["c"], ["r"], "/body/1/Relu"),
        helper.make_node("Transpose", ["r"], ["t"], "/Transpose", perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["t", "rows"], ["s"], "/Reshape"),
        helper.make_node(
            "LSTM", ["s", "lstm.W", "lstm.R", "lstm.B"], ["", "h"], "/lstm/LSTM", hidden_size=24
        ),
        helper.make_node("Squeeze", ["h", "first"], ["q"], "/Squeeze"),
        helper.make_node("MatMul", ["q", "middle.weight"], ["m"], "/middle/MatMul"),
        helper.make_node("Tanh", ["m"], ["a"], "/Tanh"),
        helper.make_node(
            "Gemm", ["a", "head.weight", "head.bias"], ["scores"], "/head/Gemm", transB=1
        ),
    ]
    constants = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    constants.append(numpy_helper.from_array(np.array([8, -1, 128], np.int64), "rows"))
    constants.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 5])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(path: Path, feed: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": feed})[0]


def one(folder: Path, name: str, settings: Any) -> dict[str, Any]:
    """What came of a profile: notes and figures, or the error."""
    work = folder / name
    (work / "scratch").mkdir(parents=True)
    outputs = {"artifact": "model.onnx", "io": "io.json", "ranges": "ranges.json"}
    request = Request(
        {n: folder / f for n, f in INPUTS.items()},
        {n: work / f for n, f in outputs.items()},
        {"ports": PORTS, "outputs": ["scores"], "quantization": settings},
        work / "scratch",
    )
    try:
        quantize.quantize(request)
    except StepError as error:
        return {"error": error.message, "hint": error.hint, "field": error.field}
    made = onnx.load(work / "model.onnx")
    feed = np.load(folder / "data.npz")["image"]
    wanted, got = (run(path, feed) for path in (folder / "float.onnx", work / "model.onnx"))
    read = {
        tensor.name: tensor for tensor in stored_weights.read(work / "model.onnx", CONTRACT).tensors
    }
    float_weights = {t.name: numpy_helper.to_array(t) for t in model().graph.initializer}
    ranges = work / "ranges.json"
    return {
        "notes": request.notes,
        "operators": Counter(node.op_type for node in made.graph.node),
        "error_ratio": float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted)),
        "bytes": (work / "model.onnx").stat().st_size,
        "storage": {name: tensor.storage for name, tensor in read.items()},
        "scales": {n: list(t.scale.shape) for n, t in read.items() if t.scale is not None},
        # How far what the file stands for is from the model's weights, in steps of its scale.
        "steps": {
            name: float(
                (
                    np.abs(like(float_weights[name], tensor.decoded) - tensor.decoded)
                    / np.abs(tensor.scale)
                ).max()
            )
            for name, tensor in read.items()
            if tensor.scale is not None and name in float_weights
        },
        "ranges": json.loads(ranges.read_text()) if ranges.exists() else None,
        "opset": made.opset_import[0].version,
    }


def like(values: Any, decoded: Any) -> Any:
    """A weight as it lies in the file: some operators take a matrix turned."""
    return values if values.shape == decoded.shape else values.T


def beside_the_library(symmetric: bool, block: int = 16) -> dict[str, float]:
    """How far a matrix in blocks of 4 bits is from what MatMulNBitsQuantizer computes, in its own kernel."""
    rows, columns = 64, 24
    matrix = np.random.default_rng(7).normal(size=(rows, columns)).astype(np.float32)
    packed = np.zeros(rows * columns // 2, np.uint8)
    scales = np.zeros((rows // block, columns), np.float32)
    zeros = np.zeros(scales.size // 2, np.uint8)
    quantize_qdq_matmul_4bits(packed, matrix, scales, zeros, block, columns, rows, symmetric)
    settings = {"bits": 4, "symmetric": symmetric, "block_size": block}
    ours = weights.quantized(matrix, weights.Place(1, 0), settings)
    found = {
        "integers": ours.values.astype(int) - halves(packed, symmetric).reshape(matrix.shape),
        "scales": ours.scale / scales - 1,
    }
    if not symmetric:
        found["zeros"] = ours.zero.astype(int) - halves(zeros, False).reshape(scales.shape)
    return {name: float(np.abs(difference).max()) for name, difference in found.items()}


def halves(packed: Any, signed: bool) -> Any:
    """The integers of 4 bits that lie in bytes, the lower half first."""
    values = np.stack([packed & 15, packed >> 4], 1).ravel().astype(int)
    return np.where(values > 7, values - 16, values) if signed else values


INPUTS = {"artifact": "float.onnx", "io": "io.json", "calibration": "data.npz"}
FOLDER = Path(sys.argv[2])
onnx.save(model(), FOLDER / "float.onnx")
CONTRACT.write(FOLDER / "io.json")
DRAW = np.random.default_rng(5)
arrays.save(FOLDER / "data.npz", {"image": DRAW.normal(size=(64, 3, 8, 8)).astype(np.float32)})
FOUND: dict[str, Any] = {n: one(FOLDER, n, s) for n, s in json.loads(sys.argv[3]).items()}
FOUND["library"] = [beside_the_library(symmetric) for symmetric in (True, False)]
print(json.dumps(FOUND))
