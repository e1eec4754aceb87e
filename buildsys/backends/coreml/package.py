"""Reads saved packages: what they declare, and how their weights are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request, StepError
from .libraries import ct

_DATA = Path("Data/com.apple.CoreML")
MODEL = _DATA / "model.mlmodel"
WEIGHTS = _DATA / "weights/weight.bin"

_FLOATS = {"FLOAT16": 2, "FLOAT32": 4}
_INTEGERS = {"INT8", "UINT8"}


def spec_file(model: Path) -> Path:
    """The file with the `Model` message: in a package, or an `.mlmodel` itself."""
    return model / MODEL if model.is_dir() else model


def read_spec(model: Path) -> Any:
    """The `Model` message of a package or an `.mlmodel`, as it is on disk."""
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString(spec_file(model).read_bytes())
    return spec


@dataclass
class Weights:
    """How the numbers in a package's weight file are stored.

    Attributes:
        elements: Elements by type (`FLOAT16`, `FLOAT32`, `INT8`, ...), scales of quantized
            weights left out.
        floats: Name and number of elements of each that is stored as floats.
        float32: The same, of those that are float32.
    """

    elements: dict[str, int] = field(default_factory=dict)
    floats: list[tuple[str, int]] = field(default_factory=list)
    float32: list[tuple[str, int]] = field(default_factory=list)

    @property
    def float16_share(self) -> float:
        """Part of the bytes of float weights that is float16, from 0 to 1; 1 for no weights."""
        sizes = {kind: self.elements.get(kind, 0) * width for kind, width in _FLOATS.items()}
        total = sum(sizes.values())
        return sizes["FLOAT16"] / total if total else 1.0

    @property
    def quantized(self) -> int:
        """Elements that are stored as 8-bit integers."""
        return sum(n for kind, n in self.elements.items() if kind in _INTEGERS)


def largest(weights: list[tuple[str, int]], limit: int = 4) -> str:
    """The largest of some weights with their sizes, for people."""
    ranked = sorted(weights, key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"`{name}` ({size:,})" for name, size in ranked[:limit])
    return shown + (f" and {len(ranked) - limit} more" if len(ranked) > limit else "")


def weights(package: Path) -> Weights:
    """Looks at each value that a saved package keeps in its weight file."""
    type_name = ct.proto.MIL_pb2.DataType.Name
    found = Weights()
    for name, value in _stored_values(read_spec(package)):
        tensor = value.type.tensorType
        kind = type_name(tensor.dataType)
        size = prod(d.constant.size for d in tensor.dimensions)
        found.elements[kind] = found.elements.get(kind, 0) + size
        if kind in _FLOATS:
            found.floats.append((name, size))
        if kind == "FLOAT32":
            found.float32.append((name, size))
    return found


def _stored_values(spec: Any) -> Iterator[tuple[str, Any]]:
    for function in spec.mlProgram.functions.values():
        for op in operations(function):
            value = _stored_value(op)
            if value is not None and value.HasField("blobFileValue"):
                yield op.outputs[0].name, value


def _stored_value(op: Any) -> Any:
    """The weight that an operation holds; a decoder's scales are not weights."""
    if op.type == "const":
        return op.attributes["val"]
    if op.type == "constexpr_affine_dequantize":
        return op.attributes["quantized_data"]
    if op.type == "constexpr_blockwise_shift_scale":  # The form from iOS18 on.
        return op.inputs["data"].arguments[0].value
    return None


def counted(package: Path) -> Counter[str]:
    """Type of operation to how many there are."""
    return Counter(
        op.type
        for function in read_spec(package).mlProgram.functions.values()
        for op in operations(function)
    )


def operations(function: Any) -> Iterator[Any]:
    """All operations of a function, those of nested blocks as well."""
    pending = list(function.block_specializations.values())
    while pending:
        for op in pending.pop().operations:
            yield op
            pending.extend(op.blocks)


KINDS = {
    "imageType": ("image", "uint8"),
    "dictionaryType": ("probabilities", "float64"),
    "stringType": ("label", "str"),
}
"""What features that are no arrays are in a contract: kind and dtype."""


def check(package: Path, contract: Contract) -> None:
    """Opens what was written and compares it with what was asked for.

    Raises:
        StepError: An input or output has another name, kind or dtype, or the weight file is missing.
    """
    description = read_spec(package).description
    for kind, declared, ports in (
        ("input", description.input, contract.inputs),
        ("output", description.output, contract.outputs),
    ):
        found = [(feature.name, *kind_of(feature)) for feature in declared]
        wanted = [(port.artifact_name or port.name, port.kind, port.dtype) for port in ports]
        if description.predictedFeatureName and kind == "output":
            # A package and an `.mlmodel` have a classifier's two outputs in other orders.
            found, wanted = sorted(found), sorted(wanted)
        if found != wanted:
            raise StepError(
                f"coremltools wrote the {kind}s {_show(found)} where {_show(wanted)} were asked for"
            )
    if package.is_dir() and weights(package).elements and not (package / WEIGHTS).is_file():
        raise StepError("coremltools wrote a package without its weight file")


def kind_of(feature: Any) -> tuple[str, str]:
    """Kind and dtype of an input or output, as contracts say them."""
    what = feature.type.WhichOneof("Type")
    if what != "multiArrayType":
        return KINDS[what]
    types = ct.proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    return "array", types.Name(feature.type.multiArrayType.dataType).lower()


def take_output_types(request: Request, contract: Contract, description: Any) -> None:
    """Takes dtypes of outputs from a neural network, where no one can ask for others."""
    features = {feature.name: feature for feature in description.output}
    for port in contract.outputs:
        feature = features[port.artifact_name or port.name]
        kind, dtype = kind_of(feature)
        if kind == "array" and dtype != port.dtype:
            request.note(f"output `{port.name}` is {dtype} in the neural network, not {port.dtype}")
            port.dtype = dtype


def _show(ports: list[tuple[str, str, str]]) -> str:
    return ", ".join(f"`{name}` {dtype} ({kind})" for name, kind, dtype in ports) or "(none)"
