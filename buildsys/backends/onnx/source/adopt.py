"""Takes an ONNX file of the user's as an artifact. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from ...kit.export.survey import capture_sizes, input_ports, survey
from ...kit.protocol.archive import broken
from ...kit.protocol.contract import Contract, Port
from ...kit.protocol.ports import random_feed
from ...kit.protocol.request import Request, StepError
from .. import canonical, graph, runtime
from . import original, unchanged, upgrade
from .original import FIELD


def adopt(request: Request) -> None:
    """Copies the file in canonical form and finds out its outputs' shapes by running it.

    A file that ONNX Runtime does not load as it stands is upgraded, and compared with itself as it was.

    Inputs: `source`. Options: `ports`, `outputs`.

    Raises:
        StepError: It does not load, cannot be upgraded, keeps its weights elsewhere, or its names, order,
            dtypes or sizes are not the recipe's.
    """
    model = _load(request.inputs["source"])
    ports, names = request.options["ports"], request.options["outputs"]
    _check_names("inputs", graph.inputs(model), [port["name"] for port in ports])
    for own, port, wanted in zip(
        graph.inputs(model), ports, input_ports(ports, dynamic=True), strict=True
    ):
        _check_input(own, port, wanted)
    _check_names("outputs", graph.outputs(model), names)
    # The shapes of outputs are optional in a file: they are seen rather than read.
    declared = Contract(
        input_ports(ports, dynamic=True), [Port(o.name, [], o.dtype) for o in graph.outputs(model)]
    )
    session = original.load(request.inputs["source"], declared, request.threads)
    changes: list[str] = []
    if isinstance(session, original.Evaluated):
        model, changes = upgrade.upgraded(model, session.refusal)
    layouts = request.options.get("layouts")
    contract = survey(session.run, ports, names, dynamic=True, layouts=layouts).contract
    if any(not o.type.tensor_type.HasField("shape") for o in model.graph.output):
        graph.declare_outputs(model, contract)
    canonical.save(model, request.outputs["artifact"], request.note)
    adopted = runtime.load(request.outputs["artifact"], contract, request.threads)
    if changes:
        feed = random_feed(ports, capture_sizes(ports, dynamic=True), seed=0)
        unchanged.check(
            request.inputs["source"], session, request.outputs["artifact"], adopted, feed
        )
    for sentence in changes:
        request.note(f"{sentence}; {session.runtime} gives the same for the file as it was")
    contract.write(request.outputs["io"])


def _load(path: Path) -> Any:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise StepError(f"the ONNX file does not load: {broken(path)}", None, FIELD) from error
    if not model.graph.output:
        raise StepError(f"the file holds no ONNX graph: {broken(path)}", None, FIELD)
    outside = [
        t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL
    ]
    if outside:
        raise StepError(
            f"the ONNX file keeps its weights in other files ({len(outside)}, for example `{outside[0]}`)",
            "save it as one: `onnx.save(onnx.load('model.onnx'), 'one.onnx')`",
            FIELD,
        )
    return model


def _check_names(what: str, own: list[Port], wanted: Sequence[str]) -> None:
    have = [port.name for port in own]
    if have == list(wanted):
        return
    if sorted(have) == sorted(wanted):
        message = f"the recipe's {what} are in another order than the file's: {', '.join(have)}"
        raise StepError(message, f"put `{what}` into this order", what)
    raise StepError(
        f"the file's {what} are {graph.described(own)}; the recipe names {', '.join(wanted)}",
        "name them as the file does, in this order",
        what,
    )


def _check_input(own: Port, port: dict[str, Any], wanted: Port) -> None:
    fits = len(own.shape) == len(wanted.shape) and all(
        not isinstance(have, int) or have == want
        for have, want in zip(own.shape, wanted.shape, strict=True)
    )
    if own.dtype == wanted.dtype and (fits or not own.shape):
        return
    raise StepError(
        f"the file has {graph.described([own])}, the recipe `{wanted.name}` "
        f"{wanted.dtype}[{', '.join(map(str, port['shape']))}]",
        "declare it as the file has it: a size that the file fixes is a number",
        "inputs",
    )
