"""An ONNX file with the weights that an artifact holds: see `torch/precision/rounded.py`."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ...kit.inspect import single_numbers
from ...kit.inspect.single_numbers import SingleNumbers
from ...kit.protocol import arrays
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request
from ...kit.run import batches, edges
from . import original, precisions


def rounded(request: Request) -> None:
    """Runs the original as the reference is run, with some of its weights replaced.

    Where none are to be replaced, or one cannot be, nothing is run.

    Inputs: `samples`, `edges` and `held` (`.npz`); `artifact` and `io`. Options: `ports`, `outputs`.
    Outputs: `samples` and `edge_outputs` (`.npz`), as `kit.run.measurement.run_artifact` writes them, empty
    where nothing was run; `told` (`.json`): the `reason` why not, or `null`, and `numbers`: the places of the
    artifact's single numbers in float16 that no number of the file was; the others were put in their place.

    Raises:
        StepError: Nothing runs it.
    """
    replaced = arrays.load(request.inputs["held"])
    beside = replaced.pop(single_numbers.NAME, None)
    numbers = SingleNumbers([] if beside is None else beside.tolist())
    given: arrays.Arrays = {}
    at_edges: arrays.Arrays = {}
    reason: str | None = "none of its weights is rounded"
    if replaced:
        model = onnx.load(request.inputs["artifact"])
        reason = _replace(model, replaced)
    if reason is None:
        _replace_numbers(model, numbers, set(replaced))
        path = request.scratch / "rounded.onnx"
        onnx.save(model, path)
        contract = Contract.read(request.inputs["io"])
        session = original.load(path, contract, request.threads)
        ports: list[dict[str, Any]] = request.options["ports"]
        names: list[str] = request.options["outputs"]
        drawn = arrays.load(request.inputs["samples"])
        feeds = {port["name"]: drawn[port["name"]] for port in ports}
        plan = batches.plan(ports, None, True)
        given = batches.run(session.run, feeds, plan, names).outputs
        at_edges = edges.artifact(session.run, arrays.load(request.inputs["edges"]), plan, names)
    arrays.save(request.outputs["samples"], given)
    arrays.save(request.outputs["edge_outputs"], at_edges)
    told = {"reason": reason, "numbers": numbers.others()}
    request.outputs["told"].write_text(json.dumps(told) + "\n")


def _replace(model: Any, replaced: arrays.Arrays) -> str | None:
    """Gives a file other weights; says why it cannot."""
    tensors = precisions.constants(model)
    for name, array in replaced.items():
        if name not in tensors:
            return f"`{name}` is not a constant of the original's graph"
        own = numpy_helper.to_array(tensors[name])
        if own.dtype.kind != "f":
            return f"`{name}` is stored as {own.dtype}, and cannot be another float"
        precisions.put(tensors[name], np.asarray(array, own.dtype).reshape(own.shape))
    return None


def _replace_numbers(model: Any, numbers: SingleNumbers, replaced: Collection[str]) -> None:
    """Gives a file the single numbers that an artifact holds: those of constants, and of attributes."""
    for name, tensor in precisions.constants(model).items():
        own = numpy_helper.to_array(tensor)
        if own.dtype.kind == "f" and own.size == 1 and name not in replaced:
            held = numbers.held(float(own.reshape(-1)[0]))
            if held is not None:
                precisions.put(tensor, np.full(own.shape, held, own.dtype))
    for graph in precisions.graphs(model.graph):
        for attribute in (each for node in graph.node for each in node.attribute):
            if attribute.type == onnx.AttributeProto.FLOAT:
                held = numbers.held(attribute.f)
                attribute.f = attribute.f if held is None else held
