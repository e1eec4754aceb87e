"""From the recipe's inputs and outputs to Core ML's, with every difference said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...kit.protocol import ports
from ...kit.protocol.contract import Contract, Port
from ...kit.protocol.request import Request, StepError
from ..libraries import ct
from .images import Image

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")

_ARRAY_TYPES = {
    "float16": "float16",
    "float32": "float32",
    "float64": "float32",
    **{f"{sign}int{bits}": "int32" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def contract_for(request: Request, source: Contract) -> Contract:
    """The contract of the package to be made; shapes of outputs are filled in afterwards.

    Args:
        request: The step; its options name the recipe's ports and outputs.
        source: The contract of the captured model.

    Raises:
        StepError: A dtype has no Core ML counterpart, or the number of outputs is wrong.
    """
    outputs: list[str] = request.options["outputs"]
    if len(outputs) != len(source.outputs):
        raise StepError(
            f"the recipe names {len(outputs)} outputs, the model has {len(source.outputs)}",
            hint="name every output of the model, in its order",
            field="outputs",
        )
    # A neural network has fixed sizes only.
    flexible: bool = request.options["format"].get("flexible", False)
    fixed = {} if flexible else ports.example_sizes(request.options["ports"])
    inputs = []
    for spec in request.options["ports"]:
        if spec["dtype"] == "bool":
            raise StepError(
                f"Core ML has no bool inputs, and `{spec['name']}` is one",
                hint="declare it as int32 or float32, and compare it with zero in the model",
                field=f"inputs.{spec['name']}.dtype",
            )
        if not spec["shape"]:
            raise StepError(
                f"Core ML has no inputs without axes, and `{spec['name']}` is one",
                hint="declare it with the shape [1], and take its one element in the model",
                field=f"inputs.{spec['name']}.shape",
            )
        inputs.append(
            Port(
                name=spec["name"],
                shape=[fixed.get(size, size) for size in spec["shape"]],
                dtype=_array_type(request, "input", spec["name"], spec["dtype"]),
                layout=spec.get("layout"),
                artifact_name=_alias(request, "input", spec["name"]),
            )
        )
    results = [
        Port(
            name=name,
            shape=list(port.shape),
            dtype=_array_type(request, "output", name, port.dtype),
            layout=port.layout,
            artifact_name=_alias(request, "output", name),
        )
        for name, port in zip(outputs, source.outputs, strict=True)
    ]
    if not flexible:
        for symbol, dim in ports.symbols(request.options["ports"]).items():
            request.note(
                f"size {symbol} is fixed at {dim['example']} in the Core ML package"
                + (
                    "; `flexible: true` keeps it open"
                    if "flexible" in request.options["format"]
                    else ""
                )
            )
    return Contract(inputs, results)


def tensor_types(
    request: Request, contract: Contract, pictures: Mapping[str, Image]
) -> tuple[list[Any], list[Any]]:
    """Types of inputs and outputs, with explicit dtypes: float16 is never implied."""
    limits = {
        name: ct.RangeDim(dim["min"], dim["max"], default=dim["example"])
        for port in request.options["ports"]
        for name, dim in port["dims"].items()
    }
    inputs = [
        pictures[port.name].type_of(port)
        if port.name in pictures
        else ct.TensorType(
            name=port.artifact_name or port.name,
            shape=[limits[size] if isinstance(size, str) else size for size in port.shape],
            dtype=np.dtype(port.dtype).type,
        )
        for port in contract.inputs
    ]
    outputs = [
        ct.TensorType(name=port.artifact_name or port.name, dtype=np.dtype(port.dtype).type)
        for port in contract.outputs
    ]
    return inputs, outputs


def fill_output_shapes(contract: Contract, description: Any, request: Request) -> None:
    """Takes the shapes of outputs from the package, which declares them where sizes are fixed.

    Core ML has no arrays without axes: it declares nothing for them, and gives arrays of one number.
    """
    features = {feature.name: feature for feature in description.output}
    for port in contract.outputs:
        declared = list(features[port.artifact_name or port.name].type.multiArrayType.shape)
        if declared:
            port.shape = [int(size) for size in declared]
        elif not port.shape and port.kind == "array":
            port.shape, port.permutation = [1], []
            request.note(f"output `{port.name}` is an array of one number in the Core ML package")


def _array_type(request: Request, kind: str, name: str, dtype: str) -> str:
    if kind == "output" and dtype == "bool":
        target = "int32"
    elif dtype in _ARRAY_TYPES:
        target = _ARRAY_TYPES[dtype]
    else:
        raise StepError(f"Core ML has no arrays of {dtype}, which {kind} `{name}` is of")
    oldest = request.options["format"].get("minimum_deployment_target")
    if kind == "input" and oldest is None and target == "int32":
        target = "float32"  # A neural network's inputs are; it rounds nothing below 2**24.
    if target == "float16" and oldest is None:
        raise StepError(
            f"{kind} `{name}` is float16, which neural networks of Core ML do not take",
            hint="take the format `coreml`, or declare it as float32",
            field="format",
        )
    if target == "float16" and oldest == "iOS15":
        raise StepError(
            f"{kind} `{name}` is float16, which Core ML takes from iOS16 on",
            hint="set `minimum_deployment_target: iOS16`, or declare it as float32",
            field="options.minimum_deployment_target",
        )
    if target != dtype:
        request.note(f"{kind} `{name}` is {target} in the Core ML package, {dtype} in the model")
    return target


def _alias(request: Request, kind: str, name: str) -> str | None:
    if _IDENTIFIER.fullmatch(name):
        return None
    alias = re.sub(r"[^A-Za-z0-9_@]", "_", name)
    if not _IDENTIFIER.fullmatch(alias):
        alias = "_" + alias
    request.note(f"{kind} `{name}` is named `{alias}` in the Core ML package, as it must be")
    return alias
