"""Writes `unsupported.onnx`, with an operator that onnx2tf lacks, into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

node = helper.make_node("CastLike", ["features", "features"], ["values"], name="cast")
graph = helper.make_graph(
    [node],
    "g",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])],
    [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["N", 4])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, Path(sys.argv[1]) / "unsupported.onnx")
