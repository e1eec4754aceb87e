"""Prints, as JSON, what ONNX files hold; run in the toolchain `onnx` by the tests.

With a file of samples before them, `--evaluate`, it runs each by the reference implementation of
ONNX instead, and writes the outputs beside it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator


def ports(values: Any) -> list[list[Any]]:
    found = []
    for value in values:
        kind = value.type.tensor_type
        sizes = [d.dim_param or d.dim_value for d in kind.shape.dim]
        found.append([value.name, onnx.TensorProto.DataType.Name(kind.elem_type), sizes])
    return found


if sys.argv[1] == "--evaluate":
    samples = dict(np.load(sys.argv[2]))
    for path in sys.argv[3:]:
        evaluator = ReferenceEvaluator(path)
        np.savez(
            path + ".npz",
            **dict(zip(evaluator.output_names, evaluator.run(None, samples), strict=True)),
        )
else:
    told = []
    for path in sys.argv[1:]:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        told.append(
            {
                "operators": [node.op_type for node in model.graph.node],
                "domains": sorted(o.domain for o in model.opset_import),
                "inputs": ports(model.graph.input),
                "outputs": ports(model.graph.output),
            }
        )
    print(json.dumps(told))
