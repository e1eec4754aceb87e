"""ONNX to a SavedModel, by onnx2tf."""

from __future__ import annotations

from pathlib import Path

from ..kit.export import onnx2tf
from ..kit.export.layouts import Place, locate
from ..kit.protocol import ports
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.names import alias, note_dtype, note_fixed_sizes
from ..kit.protocol.request import Request, StepError
from . import saved_model
from .graph import Source, Target, canonical
from .saved_model import Signature, Tensor

WHAT = "SavedModel"
WAY_OUT = "take `onnx` for servers or `onnx_web` for browsers: they run the ONNX model as it is"


def convert(request: Request) -> None:
    """Makes a SavedModel with the recipe's names and layouts, at the example sizes.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`.

    Raises:
        StepError: onnx2tf fails, or changed what the model computes.
    """
    saved_model.use_threads(request.threads)
    source = Contract.read(request.inputs["io"])
    names = onnx2tf.Names(
        {port.name: alias(request, "input", port.name, WHAT) for port in source.inputs},
        {port.name: alias(request, "output", port.name, WHAT) for port in source.outputs},
    )
    converted = onnx2tf.convert(request, names, WAY_OUT)
    given = Signature(converted.folder)
    contract = Contract(inputs=_inputs(request, source, names, given))
    feeds = [_fed(contract, feed) for feed in converted.feeds]
    places = _places(source, names, converted, [given.run(feed) for feed in feeds])
    frozen = saved_model.frozen(given)
    tensors = dict(zip(sorted(given.outputs), (t.name for t in frozen.outputs), strict=True))
    sources = [Source(t.name.partition(":")[0], t.op.name) for t in frozen.inputs]
    order = list(names.inputs.values())
    targets, outputs = [], {}
    for port in source.outputs:
        place, name = places[port.name], names.outputs[port.name]
        tensor = given.outputs[place.name]
        # onnx2tf gives images channels-last; the model's own layout is what the recipe tells of.
        back = None if place.permutation is None else _inverse(place.permutation)
        shape = tensor.shape if back is None else [tensor.shape[axis] for axis in back]
        targets.append(Target(name, tensors[place.name], saved_model.number_of(tensor.dtype), back))
        outputs[name] = Tensor(shape, tensor.dtype)
        note_dtype(request, "output", port.name, port.dtype, tensor.dtype, WHAT)
        renamed = name if name != port.name else None
        contract.outputs.append(Port(port.name, shape, tensor.dtype, port.layout, renamed))
    graph = canonical(
        frozen.graph.as_graph_def(), sorted(sources, key=lambda s: order.index(s.name)), targets
    )
    folder = request.outputs["artifact"]
    saved_model.write(graph, {name: given.inputs[name] for name in order}, outputs, folder)
    _check(folder, converted, contract, feeds)
    note_fixed_sizes(request, WHAT)
    contract.write(request.outputs["io"])


def _inputs(
    request: Request, source: Contract, names: onnx2tf.Names, given: Signature
) -> list[Port]:
    sizes = ports.example_sizes(request.options["ports"])
    made = []
    for port in source.inputs:
        name = names.inputs[port.name]
        tensor = given.inputs.get(name)
        wanted = ports.concrete(port.shape, sizes)
        if tensor is None or tensor.shape != wanted:
            have = ", ".join(f"`{n}` {t.shape}" for n, t in given.inputs.items())
            raise StepError(
                f"onnx2tf did not keep input `{port.name}` {wanted}: the SavedModel has {have}",
                WAY_OUT,
            )
        note_dtype(request, "input", port.name, port.dtype, tensor.dtype, WHAT)
        renamed = name if name != port.name else None
        made.append(Port(port.name, tensor.shape, tensor.dtype, port.layout, renamed))
    return made


def _fed(contract: Contract, feed: onnx2tf.Feed) -> onnx2tf.Feed:
    return {
        port.artifact_name or port.name: ports.to_artifact(port, feed[port.name])
        for port in contract.inputs
    }


def _places(
    source: Contract,
    names: onnx2tf.Names,
    converted: onnx2tf.Converted,
    found: list[onnx2tf.Feed],
) -> dict[str, Place]:
    """Which output of onnx2tf's is which: it names them by number, and is asked by values."""
    places: dict[str, Place] = {}
    for port in source.outputs:
        name = names.outputs[port.name]
        taken = [place.name for place in places.values()]
        place = locate(name, [run[name] for run in converted.expected], found, taken)
        if place is None:
            raise StepError(
                "onnx2tf changed what the model computes: no output of the SavedModel holds the "
                f"values of `{port.name}`, in any order of axes",
                WAY_OUT,
            )
        places[port.name] = place
    return places


def _inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(permutation)), key=lambda axis: permutation[axis]))


def _check(
    folder: Path, converted: onnx2tf.Converted, contract: Contract, feeds: list[onnx2tf.Feed]
) -> None:
    """Loads what was written, and runs it: each output under its own name and in its own layout."""
    written = Signature(folder)
    found = [written.run(feed) for feed in feeds]
    for port in contract.outputs:
        name = port.artifact_name or port.name
        expected = [run[name] for run in converted.expected]
        place = locate(name, expected, [{name: run[name]} for run in found])
        if place is None or place.permutation is not None:
            raise StepError(f"the SavedModel was written wrong: `{port.name}` has other values")
