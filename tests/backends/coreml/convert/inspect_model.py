"""Prints, as JSON, what a package or an `.mlmodel` takes and gives; run in the `coreml` toolchain."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.modules["tensorflow"] = None  # type: ignore[assignment]

import coremltools as ct  # noqa: E402
from google.protobuf.json_format import MessageToDict  # noqa: E402

path = Path(sys.argv[1])
spec = ct.proto.Model_pb2.Model()
inner = path / "Data/com.apple.CoreML/model.mlmodel" if path.is_dir() else path
spec.ParseFromString(inner.read_bytes())


def forms(features: Any) -> dict[str, Any]:
    return {feature.name: MessageToDict(feature.type) for feature in features}


def numbers(block: Any) -> dict[str, list[float]]:
    """What pixels are multiplied with, and what is added."""
    held = {
        op.outputs[0].name: op.attributes["val"] for op in block.operations if op.type == "const"
    }
    found = {}
    for op in block.operations:
        if op.type in ("mul", "add") and op.type not in found:
            value = held[op.inputs["y"].arguments[0].name].immediateValue.tensor
            found[op.type] = list(value.floats.values)
    return found


def of_program() -> dict[str, Any]:
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    return {"operations": [op.type for op in block.operations], "pixels": numbers(block)}


def of_network() -> dict[str, Any]:
    network = getattr(spec, spec.WhichOneof("Type"))
    layers = [layer for layer in network.layers if layer.WhichOneof("layer") == "convolution"]
    return {
        "pixels": [MessageToDict(each) for each in network.preprocessing],
        "half": all(layer.convolution.weights.float16Value for layer in layers),
    }


print(
    json.dumps(
        {
            "kind": spec.WhichOneof("Type"),
            "inputs": forms(spec.description.input),
            "outputs": forms(spec.description.output),
            "best": spec.description.predictedFeatureName,
            "metadata": dict(spec.description.metadata.userDefined),
            "specification": spec.specificationVersion,
            **(of_program() if spec.WhichOneof("Type") == "mlProgram" else of_network()),
        }
    )
)
