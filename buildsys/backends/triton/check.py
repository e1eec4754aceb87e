"""Checks a repository by Triton's own protobuf, and its fields against the model within."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto

from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request, StepError
from .kinds import BY_BACKEND, DTYPES, VERSION, Kind

OPEN = -1


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model itself: its name, Triton's word for its dtype, and its sizes."""

    name: str
    dtype: str
    sizes: tuple[int, ...]


def check(request: Request) -> None:
    """Writes `check` (`check.json`); a repository that Triton would not take is an error.

    Inputs: `artifact` (the repository), `io`, `contained` (the model). Options: `ports`.

    Raises:
        StepError: The configuration does not parse, or says something else than the model.
    """
    config, folder = read(request.inputs["artifact"])
    kind = BY_BACKEND.get(config.backend)
    if kind is None or config.platform != kind.platform:
        raise fault("backend", config.backend, f"{config.platform}: no such pair")
    parts = kind.parts(request.inputs["contained"])
    held = {p.name: p.read_bytes() for p in sorted((folder / VERSION).iterdir())}
    if held != parts:
        raise fault(f"{VERSION}/", sorted(held), f"not the {kind.takes} artifact, {sorted(parts)}")
    if config.default_model_filename != kind.files[0][1]:
        raise fault("default_model_filename", config.default_model_filename, "not there")
    contract = Contract.read(request.inputs["io"])
    inputs, outputs = tensors(kind, folder / VERSION, contract)
    dims = {s: d for port in request.options["ports"] for s, d in port["dims"].items()}
    check_batch(config, contract, dims)
    for field, own, made in (("input", inputs, config.input), ("output", outputs, config.output)):
        check_tensors(field, own, made, config.max_batch_size > 0)
    check_instances(config, kind)
    release = importlib.metadata.version("tritonclient")
    count = f"{len(inputs)} input{'s' * (len(inputs) != 1)}, {len(outputs)} output" + "s" * (
        len(outputs) != 1
    )
    by = "read from its file" if kind.takes == "onnx" else "by the contract that it was run by"
    reason = (
        f"Triton itself was not run. Its own protobuf ({release}) reads the configuration, which is "
        f"that of the model within ({count}: names, dtypes, sizes, batch; {by}), and that is byte for byte "
        f"the {kind.takes} that was run and judged"
    )
    request.outputs["check"].write_text(json.dumps({"reason": reason}) + "\n")


def fault(field: str, value: Any, what: str) -> StepError:
    """A repository that we made wrong."""
    return StepError(
        f"config.pbtxt: `{field}` is {value}: {what}", "this is a bug of ours: report it"
    )


def read(repository: Path) -> tuple[Any, Path]:
    """The only model of a repository: its configuration and its folder.

    Raises:
        StepError: It is not the only one, does not parse, or has another name.
    """
    (folder,) = sorted(repository.iterdir())
    try:
        config = text_format.Parse((folder / "config.pbtxt").read_text(), proto.ModelConfig())
    except text_format.ParseError as error:
        raise StepError(f"config.pbtxt: Triton's protobuf does not read it: {error}") from error
    if config.name != folder.name:
        raise fault("name", config.name, f"the folder is {folder.name}")
    return config, folder


def tensors(kind: Kind, folder: Path, contract: Contract) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs as the model's own file tells them; else by the contract it was run by."""
    if kind.takes == "onnx":
        graph = onnx.load(folder / "model.onnx").graph
        weights = {tensor.name for tensor in graph.initializer}
        inputs = [_of_onnx(value) for value in graph.input if value.name not in weights]
        return inputs, [_of_onnx(value) for value in graph.output]
    if kind.takes == "openvino":
        return _of_openvino(folder / "model.xml", contract)
    return [_of_port(p) for p in contract.inputs], [_of_port(p) for p in contract.outputs]


def _of_onnx(value: Any) -> Tensor:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    sizes = [dim.dim_value if dim.HasField("dim_value") else OPEN for dim in tensor.shape.dim]
    return Tensor(value.name, DTYPES[dtype], tuple(sizes))


def _of_openvino(path: Path, contract: Contract) -> tuple[list[Tensor], list[Tensor]]:
    """The names are the file's; dtypes and sizes are those by which it was run."""
    root = ElementTree.parse(path).getroot()  # noqa: S314  # We wrote it.
    known = {
        name
        for port in root.iter("port")
        for name in [*port.get("names", "").split(","), port.get("names", "")]
    }
    known |= {layer.get("name", "") for layer in root.iter("layer")}
    for port in (*contract.inputs, *contract.outputs):
        name = port.artifact_name or port.name
        if name not in known:
            raise fault("name", name, "the model has no such tensor")
    return [_of_port(p) for p in contract.inputs], [_of_port(p) for p in contract.outputs]


def _of_port(port: Port) -> Tensor:
    sizes = tuple(size if isinstance(size, int) else OPEN for size in port.shape)
    return Tensor(port.artifact_name or port.name, DTYPES[port.dtype], sizes)


def check_batch(config: Any, contract: Contract, dims: dict[str, dict[str, int]]) -> None:
    """`max_batch_size` against what the batch may be.

    Raises:
        StepError: The model does not take such batches.
    """
    most = config.max_batch_size
    if most:
        for port in (*contract.inputs, *contract.outputs):
            bounds = dims.get(str(port.shape[0])) if port.shape else None
            if bounds is None or bounds["min"] > 1 or bounds["max"] < most:
                raise fault("max_batch_size", most, f"`{port.name}` is {port.shape}, {bounds}")
    wanted = list(config.dynamic_batching.preferred_batch_size)
    if config.HasField("dynamic_batching") and (most == 0 or max(wanted, default=1) > most):
        raise fault("dynamic_batching", wanted, f"`max_batch_size` is {most}")


def check_tensors(field: str, own: list[Tensor], made: Any, batched: bool) -> None:
    """The configured tensors against the model's.

    Raises:
        StepError: A name, a dtype or a size is another one, or a tensor is missing.
    """
    if [tensor.name for tensor in made] != [tensor.name for tensor in own]:
        names = [tensor.name for tensor in made]
        raise fault(field, names, f"the model has {[tensor.name for tensor in own]}")
    for tensor, want in zip(made, own, strict=True):
        dtype = proto.DataType.Name(tensor.data_type)
        if dtype != want.dtype:
            raise fault(f"{field} {tensor.name}", dtype, f"the model has {want.dtype}")
        sizes = tuple(tensor.reshape.shape) if tensor.HasField("reshape") else tuple(tensor.dims)
        # Where the model's own contract shows the axis that Triton adds to scalars, it is that one.
        wanted = want.sizes[1:] if batched else want.sizes
        if batched and want.sizes[:1] != (OPEN,):
            raise fault(f"{field} {tensor.name}", want.sizes, "no batch axis that varies")
        if not tensor.dims:
            raise fault(f"{field} {tensor.name}", "without dims", "Triton takes none such")
        if tensor.HasField("reshape") and (tuple(tensor.dims) != (1,) or sizes):
            raise fault(f"{field} {tensor.name}", list(tensor.dims), "a scalar has [1]")
        if sizes != wanted and not (tensor.HasField("reshape") and wanted == (1,)):
            raise fault(f"{field} {tensor.name}", list(sizes), f"the model has {list(wanted)}")


def check_instances(config: Any, kind: Kind) -> None:
    """Where the model is to run.

    Raises:
        StepError: Its backend does not run there.
    """
    for group in config.instance_group:
        where = proto.ModelInstanceGroup.Kind.Name(group.kind)
        never = {"tensorrt": "KIND_CPU", "openvino": "KIND_GPU"}.get(kind.takes)
        if where == never or group.count < 1:
            raise fault("instance_group", where, f"{kind.backend} does not run there")
