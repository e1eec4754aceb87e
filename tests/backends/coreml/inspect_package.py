"""Prints, as JSON, what a package declares; run in the `coreml` toolchain by the tests."""

from __future__ import annotations

import json
import sys
from typing import Any

sys.modules["tensorflow"] = None  # type: ignore[assignment]

import coremltools as ct  # noqa: E402


def features(declared: Any) -> list[list[Any]]:
    types = ct.proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    found = []
    for feature in declared:
        array = feature.type.multiArrayType
        ranges = [[r.lowerBound, r.upperBound] for r in array.shapeRange.sizeRanges]
        found.append([feature.name, list(array.shape), types.Name(array.dataType), ranges])
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
            "specification": spec.specificationVersion,
        }
    )
)
