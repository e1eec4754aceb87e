"""Makes model repositories: `NAME/config.pbtxt` and `NAME/1/` with the model as it is."""

from __future__ import annotations

from typing import Any

from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request, StepError
from .kinds import BY_FORMAT, DTYPES, PLAIN, VERSION, Kind

OPEN = -1
"""A size that varies, in Triton's dims."""
KIND_OF = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}


def make_onnx(request: Request) -> None:
    """A repository around an ONNX file; see `make`."""
    make(request, BY_FORMAT["onnx"])


def make_openvino(request: Request) -> None:
    """A repository around an OpenVINO IR; see `make`."""
    if request.options["format"]["kind"] == "gpu":
        raise StepError(
            "Triton's OpenVINO backend runs on CPUs only", "use `kind: cpu`", "options.kind"
        )
    make(request, BY_FORMAT["openvino"])


def make_tensorrt(request: Request) -> None:
    """A repository around a TensorRT engine; see `make`."""
    if request.options["format"]["kind"] == "cpu":
        raise StepError("a TensorRT engine runs on GPUs only", "use `kind: gpu`", "options.kind")
    make(request, BY_FORMAT["tensorrt"])


def make(request: Request, kind: Kind) -> None:
    """Writes a repository.

    Inputs: `artifact`, `io`. Options: `ports`, `metadata`, `format`.

    Raises:
        StepError: Triton has no such dtype or name, or an option does not go with the model.
    """
    contract = Contract.read(request.inputs["io"])
    options: dict[str, Any] = request.options["format"]
    name = request.options["metadata"]["model"]
    if not PLAIN.fullmatch(name):
        raise StepError(f"Triton takes no model of the name `{name}`", "rename the model")
    if kind.positional:
        for word, ports in (("INPUT", contract.inputs), ("OUTPUT", contract.outputs)):
            for place, port in enumerate(ports):
                port.artifact_name = f"{word}__{place}"
        pairs = [
            f"`{p.artifact_name}` is `{p.name}`" for p in (*contract.inputs, *contract.outputs)
        ]
        request.note(f"Triton knows a TorchScript's tensors by their places: {', '.join(pairs)}")
    most = batch(contract, request.options["ports"], options["max_batch_size"])
    lines = [
        f'name: "{name}"',
        f'backend: "{kind.backend}"',
        *([f'platform: "{kind.platform}"'] if kind.platform else []),
        f'default_model_filename: "{kind.files[0][1]}"',
        f"max_batch_size: {most}",
    ]
    for field, ports in (("input", contract.inputs), ("output", contract.outputs)):
        for port in ports:
            lines += [f"{field} {{", *_tensor(port, most > 0, request), "}"]
    lines += [
        "instance_group {",
        f"  count: {options['instance_count']}",
        f"  kind: {KIND_OF[options['kind']]}",
        "}",
        *_batching(options, most),
    ]
    folder = request.outputs["artifact"] / name
    (folder / VERSION).mkdir(parents=True)
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kind.place(request.inputs["artifact"], folder / VERSION)
    contract.write(request.outputs["io"])


def batch(contract: Contract, ports: list[dict[str, Any]], wanted: int | None) -> int:
    """`max_batch_size`: what is asked for, or what the model allows.

    Raises:
        StepError: The model does not allow what is asked for.
    """
    if wanted == 0:
        return 0
    leading = [
        port.shape[0] if port.shape else None for port in (*contract.inputs, *contract.outputs)
    ]
    symbol = leading[0]
    dims = {s: d for port in ports for s, d in port["dims"].items()}
    if not isinstance(symbol, str) or symbol not in dims or set(leading) != {symbol}:
        reason = "not all inputs and outputs begin with one symbol"
    elif dims[symbol]["min"] > 1:
        reason = (
            f"`{symbol}` is {dims[symbol]['min']} at least, and Triton may send one request alone"
        )
    elif wanted is not None and wanted > dims[symbol]["max"]:
        reason = f"`{symbol}` is {dims[symbol]['max']} at most"
    else:
        return int(wanted or dims[symbol]["max"])
    if wanted is None:
        return 0
    raise StepError(
        f"`max_batch_size: {wanted}` does not go with this model: {reason}",
        "use `max_batch_size: 0`, or leave it out",
        "options.max_batch_size",
    )


def _tensor(port: Port, batched: bool, request: Request) -> list[str]:
    name = port.artifact_name or port.name
    if port.dtype not in DTYPES:
        raise StepError(f"Triton has no dtype for `{port.name}`, which is {port.dtype}")
    sizes = [size if isinstance(size, int) else OPEN for size in port.shape[1 if batched else 0 :]]
    lines = [f'  name: "{name}"', f"  data_type: {DTYPES[port.dtype]}"]
    if sizes:
        return [*lines, f"  dims: [ {', '.join(map(str, sizes))} ]"]
    # Triton takes no empty dims.
    port.shape.append(1)
    request.note(f"Triton knows no scalars: `{name}` has an axis of size 1 more than the model's")
    return [*lines, "  dims: [ 1 ]", "  reshape { shape: [ ] }"]


def _batching(options: dict[str, Any], most: int) -> list[str]:
    if not options["dynamic_batching"]:
        return []
    if most == 0:
        raise StepError(
            "`dynamic_batching` needs a batch that Triton may choose, and `max_batch_size` is 0",
            "leave it out; `max_batch_size` says what a model must be like",
            "options.dynamic_batching",
        )
    preferred = list(options["preferred_batch_sizes"])
    beyond = [size for size in preferred if not 1 <= size <= most]
    if beyond:
        raise StepError(
            f"a preferred batch of {beyond[0]} is not within 1..{most}",
            "give sizes up to `max_batch_size`",
            "options.preferred_batch_sizes",
        )
    lines = ["dynamic_batching {"]
    if preferred:
        lines.append(f"  preferred_batch_size: [ {', '.join(map(str, preferred))} ]")
    lines.append(f"  max_queue_delay_microseconds: {options['max_queue_delay_us']}")
    return [*lines, "}"]
