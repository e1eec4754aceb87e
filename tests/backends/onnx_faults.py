"""Puts faults into an ONNX file; run by the toolchain `onnx`: `onnx_faults.py MODEL OUT_FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


def node(model: Any, kind: str, number: int = 0) -> Any:
    return [n for n in model.graph.node if n.op_type == kind][number]


def dropped_bias(model: Any) -> str:
    found = node(model, "Conv", 1)
    del found.input[2]
    return str(found.name)


def wrong_activation(model: Any) -> str:
    found = node(model, "Relu", 1)
    found.op_type = "Elu"
    return str(found.name)


def swapped_operands(model: Any) -> str:
    found = node(model, "Sub")
    found.input[0], found.input[1] = found.input[1], found.input[0]
    return str(found.name)


def zeroed_row(model: Any) -> str:
    found = node(model, "Gemm")
    tensor = next(t for t in model.graph.initializer if t.name == found.input[1])
    values = np.array(numpy_helper.to_array(tensor))
    values[1] = 0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return str(found.name)


FAULTS = (dropped_bias, wrong_activation, swapped_operands, zeroed_row)

if __name__ == "__main__":
    for fault in FAULTS:
        changed = onnx.load(sys.argv[1])
        print(fault.__name__, fault(changed))
        onnx.save(changed, Path(sys.argv[2]) / f"{fault.__name__}.onnx")
