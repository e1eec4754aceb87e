"""Writes ONNX files that mean what another one means, and one that does not; run by the toolchain."""

import sys
from pathlib import Path

import onnx

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
model = onnx.load(source)
held = list(model.graph.initializer)
del model.graph.initializer[:]
model.graph.initializer.extend(reversed(held))
model.graph.doc_string = "written on a Tuesday"
model.producer_version = "0"
model.graph.node[0].metadata_props.add(key="file", value="/home/me/model.py")
(folder / "same.onnx").write_bytes(model.SerializeToString())
raw = bytearray(model.graph.initializer[0].raw_data)
raw[0] ^= 1
model.graph.initializer[0].raw_data = bytes(raw)
(folder / "other.onnx").write_bytes(model.SerializeToString())
