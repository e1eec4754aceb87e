"""The ONNX route: an ONNX model to TFLite by onnx2tf, which goes through TensorFlow."""

from __future__ import annotations

from ...kit.export import onnx2tf
from ...kit.export.layouts import Place, layout_after, locate
from ...kit.protocol import ports
from ...kit.protocol.contract import Contract, Port
from ...kit.protocol.names import alias, note_dtype, note_fixed_sizes
from ...kit.protocol.request import Request, StepError
from ..quantize.census import census
from ..signature import Signature

OTHER_ROUTE = "take `route: direct` for this deployable, which converts by other means"

WHAT = "TFLite file"


def convert(request: Request) -> None:
    """Makes a TFLite file whose inputs keep their layout; what its outputs' became is measured.

    Raises:
        StepError: onnx2tf fails, the file does not load, or an output's values are found nowhere.
    """
    source = Contract.read(request.inputs["io"])
    inputs = {port.name: alias(request, "input", port.name, WHAT) for port in source.inputs}
    outputs = {port.name: alias(request, "output", port.name, WHAT) for port in source.outputs}
    names = onnx2tf.Names(inputs, outputs)
    converted = onnx2tf.convert(request, names, OTHER_ROUTE)
    made = converted.folder / "model_float32.tflite"
    if not made.is_file():
        raise StepError("onnx2tf ended well but wrote no float32 file", OTHER_ROUTE)
    model = made.read_bytes()
    _refuse_custom(model)
    contract = _measured(request, source, model, converted, names)
    note_fixed_sizes(request, WHAT)
    request.outputs["artifact"].write_bytes(model)
    contract.write(request.outputs["io"])


def _refuse_custom(model: bytes) -> None:
    unknown = sorted(census(model).custom)
    if unknown:
        raise StepError(
            f"onnx2tf wrote operators that LiteRT does not have: {', '.join(unknown)}", OTHER_ROUTE
        )


def _measured(
    request: Request,
    source: Contract,
    model: bytes,
    converted: onnx2tf.Converted,
    names: onnx2tf.Names,
) -> Contract:
    """Runs the ONNX model and the file on the same random inputs, and describes the file."""
    signature = Signature(model, request.threads)
    contract = Contract()
    sizes = ports.example_sizes(request.options["ports"])
    specs = {spec["name"]: spec for spec in request.options["ports"]}
    for port in source.inputs:
        name = names.inputs[port.name]
        tensor = signature.inputs.get(name)
        wanted = tuple(ports.concrete(specs[port.name]["shape"], sizes))
        if tensor is None or tensor.shape != wanted:
            raise StepError(
                f"onnx2tf did not keep input `{port.name}` {list(wanted)}: the file has "
                + ", ".join(f"`{n}` {list(t.shape)}" for n, t in signature.inputs.items()),
                OTHER_ROUTE,
            )
        note_dtype(request, "input", port.name, port.dtype, tensor.dtype, WHAT)
        contract.inputs.append(
            Port(
                port.name,
                list(tensor.shape),
                tensor.dtype,
                layout=port.layout,
                artifact_name=name if name != port.name else None,
            )
        )
    found = [
        signature.run(
            {
                port.artifact_name or port.name: ports.to_artifact(port, feed[port.name])
                for port in contract.inputs
            }
        )
        for feed in converted.feeds
    ]
    taken: list[str] = []
    for port in source.outputs:
        name = names.outputs[port.name]
        place = locate(name, [run[name] for run in converted.expected], found, taken)
        if place is None:
            raise StepError(
                f"onnx2tf changed what the model computes: no output of the file holds the values "
                f"of `{port.name}`, in any order of axes",
                OTHER_ROUTE,
            )
        taken.append(place.name)
        contract.outputs.append(_output(request, port, place, signature))
    return contract


def _output(request: Request, port: Port, place: Place, signature: Signature) -> Port:
    tensor = signature.outputs[place.name]
    shape: list[int | str] = list(tensor.shape)
    layout = layout_after(port.layout, place.permutation)
    if place.permutation is not None:
        request.note(
            f"output `{port.name}` has the layout {layout or list(place.permutation)} {shape} in the "
            f"TFLite file: the model's axes in the order {list(place.permutation)}"
        )
    if place.name != port.name:
        request.note(f"output `{port.name}` is named `{place.name}` in the TFLite file")
    note_dtype(request, "output", port.name, port.dtype, tensor.dtype, WHAT)
    return Port(
        port.name,
        shape,
        tensor.dtype,
        layout=layout,
        artifact_name=place.name if place.name != port.name else None,
        permutation=list(place.permutation) if place.permutation is not None else None,
    )
