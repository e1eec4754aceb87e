"""Puts faults into an ONNX file; run by the toolchain `onnx`: `onnx_faults.py KIND MODEL OUT_FOLDER`.

KIND is `float` or `int8`: what the file computes with.
"""

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
    return str(found.name or found.output[0])


def wrong_activation(model: Any) -> str:
    found = node(model, "Relu", 1)
    found.op_type = "Elu"
    return str(found.name or found.output[0])


def swapped_operands(model: Any) -> str:
    found = node(model, "Sub")
    found.input[0], found.input[1] = found.input[1], found.input[0]
    return str(found.name or found.output[0])


def zeroed_row(model: Any) -> str:
    found = node(model, "Gemm")
    tensor = next(t for t in model.graph.initializer if t.name == found.input[1])
    values = np.array(numpy_helper.to_array(tensor))
    values[1] = 0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return str(found.name or found.output[0])


def wrong_scale(model: Any) -> str:
    """Activations are read with another scale than they were written with."""
    found = activations(model)[1]
    scale = numpy_helper.to_array(initializer(model, found.input[1]))
    model.graph.initializer.append(numpy_helper.from_array(scale * np.float32(4), "wrong"))
    found.input[1] = "wrong"
    return str(found.name or found.output[0])


def wrong_zero(model: Any) -> str:
    """Activations are written with another zero point than they are read with."""
    read = activations(model)[0]
    (found,) = (n for n in model.graph.node if read.input[0] in n.output)
    zero = np.array(numpy_helper.to_array(initializer(model, found.input[2])))
    model.graph.initializer.append(numpy_helper.from_array(zero + zero.dtype.type(40), "wrong"))
    found.input[2] = "wrong"
    return str(found.name or found.output[0])


def wrong_scales(model: Any) -> str:
    """The scales of a weight's channels are exchanged and too large; those of their biases stay."""
    found = node(model, "Conv", 1)
    (made,) = (n for n in model.graph.node if found.input[1] in n.output)
    tensor = initializer(model, made.input[1])
    scale = np.array(numpy_helper.to_array(tensor))[::-1] * np.float32(8)
    tensor.CopyFrom(numpy_helper.from_array(scale, tensor.name))
    return str(found.name or found.output[0])


def swapped_rows(model: Any) -> str:
    """The integers of two rows of a weight are exchanged."""
    found = node(model, "Gemm")
    (made,) = (n for n in model.graph.node if found.input[1] in n.output)
    tensor = initializer(model, made.input[0])
    values = np.array(numpy_helper.to_array(tensor))
    values[[0, 1]] = values[[1, 0]]
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return str(found.name or found.output[0])


def initializer(model: Any, name: str) -> Any:
    return next(t for t in model.graph.initializer if t.name == name)


def activations(model: Any) -> list[Any]:
    """What widens activations, in order."""
    held = {t.name for t in model.graph.initializer}
    return [
        n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] not in held
    ]


FAULTS = {
    "float": (dropped_bias, wrong_activation, swapped_operands, zeroed_row),
    "int8": (wrong_scale, wrong_zero, wrong_scales, swapped_rows),
}

if __name__ == "__main__":
    kind, source, folder = sys.argv[1:]
    for fault in FAULTS[kind]:
        changed = onnx.load(source)
        print(fault.__name__, fault(changed))
        onnx.save(changed, Path(folder) / f"{fault.__name__}.onnx")
