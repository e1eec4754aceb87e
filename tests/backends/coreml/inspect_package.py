"""Prints, as JSON, what a package declares; run in the `coreml` toolchain by the tests."""

from __future__ import annotations

import json
import sys
from typing import Any

sys.modules["tensorflow"] = None  # type: ignore[assignment]

import coremltools as ct  # noqa: E402
import numpy as np  # noqa: E402


def features(declared: Any) -> list[list[Any]]:
    types = ct.proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    found = []
    for feature in declared:
        array = feature.type.multiArrayType
        ranges = [[r.lowerBound, r.upperBound] for r in array.shapeRange.sizeRanges]
        found.append([feature.name, list(array.shape), types.Name(array.dataType), ranges])
    return found


def typed(operation: Any) -> list[str]:
    """An operation's name, type and the dtype of what it gives."""
    (output, *_) = operation.outputs
    dtype = ct.proto.MIL_pb2.DataType.Name(output.type.tensorType.dataType)
    return [output.name, operation.type, dtype]


def floats(block: Any) -> list[float]:
    """The floats that a program holds as scalars, among its weights or as an operation's own."""
    found = []
    for operation in block.operations:
        arguments = [a.value for i in operation.inputs.values() for a in i.arguments]
        for value in (*operation.attributes.values(), *arguments):
            tensor = value.immediateValue.tensor
            found += [*tensor.floats.values]
            if value.type.tensorType.dataType == ct.proto.MIL_pb2.DataType.FLOAT16:
                found += np.frombuffer(tensor.bytes.values, np.float16).astype(float).tolist()
    return found


model = ct.models.MLModel(sys.argv[1], skip_model_load=True)
spec = model.get_spec()
(block,) = spec.mlProgram.functions["main"].block_specializations.values()
print(
    json.dumps(
        {
            "inputs": features(spec.description.input),
            "outputs": features(spec.description.output),
            "metadata": dict(model.user_defined_metadata),
            "description": model.short_description,
            "author": model.author,
            "version": model.version,
            "operations": [op.type for op in block.operations],
            "typed": [typed(op) for op in block.operations if op.type != "const"],
            "infinite": [v for v in floats(block) if v in (float("inf"), -float("inf"))],
            "least": min(floats(block), default=None),
            "specification": spec.specificationVersion,
        }
    )
)
