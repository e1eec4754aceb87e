"""Makes an exported program of an ONNX model: the way from ONNX to what is made of PyTorch alone."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Any

import onnx
import torch

from ...kit.export import onnx_branches, onnx_sizes
from ...kit.protocol import ports
from ...kit.protocol.contract import Contract, Port
from ...kit.protocol.names import note_fixed_sizes
from ...kit.protocol.request import Request, StepError
from ..capture import canonical
from ..files import load
from ..original.model import tensors
from ..original.outputs import difference, to_numpy
from .network import Network
from .table import Unsupported

PRELOAD = {"convert": ("numpy.random", "onnx.reference", "torch.export._trace")}
"""What each step imports late; see `toolchains/inside/forks.py`."""
WAY_OUT = "ship this model as `onnx`, or take the source in PyTorch that the file was exported from"
SEEDS = (1, 2)
"""Of the inputs that the program and the module are both run on."""


def convert(request: Request) -> None:
    """Makes an exported program of an ONNX file, with sizes fixed at the example.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`, `outputs`.

    Raises:
        StepError: An operator has no counterpart, or sizes depend on the inputs' values.
    """
    specs = request.options["ports"]
    source = Contract.read(request.inputs["io"])
    sizes = ports.example_sizes(specs)
    shapes = {spec["name"]: ports.concrete(spec["shape"], sizes) for spec in specs}
    names = {port.name: port.artifact_name or port.name for port in source.inputs}
    model = onnx.load(request.inputs["artifact"])
    onnx_sizes.write(model, {names[name]: shape for name, shape in shapes.items()})
    fixed = onnx_branches.single_values(
        specs, {names[name]: shape for name, shape in shapes.items()}, names
    )
    inlined = onnx_branches.inline(model, fixed)
    if inlined:
        request.note(onnx_branches.told(inlined, "the program"))
    left = onnx_branches.deciding(model)
    if left:
        shown = ", ".join(f"`{name}`" for name in left)
        raise StepError(
            f"the ONNX file takes one of two branches by {shown}, and a program has no choice",
            onnx_branches.ONE_VALUE.format(name=left[0]),
            "inputs",
        )
    network = _network(model, request, names)
    program = _exported(network, request)
    canonical.save_exported(program, request.outputs["artifact"])
    found = _compared(network, request)
    if request.options.get("dynamic", True):  # Where it is not, the next step says so.
        note_fixed_sizes(request, "exported program")
    _contract(source, shapes, found).write(request.outputs["io"])


def _network(model: Any, request: Request, names: dict[str, str]) -> Network:
    specs = request.options["ports"]
    feed = ports.random_feed(specs, ports.example_sizes(specs), seed=0)
    try:
        network = Network(model, {names[name]: array for name, array in feed.items()})
    except Unsupported as error:
        raise StepError(f"the ONNX file does not become a program: {error}", WAY_OUT) from error
    order = [names[spec["name"]] for spec in specs]
    if network.inputs != order:
        raise StepError(
            f"the ONNX file has the inputs {', '.join(network.inputs)} where the recipe has "
            f"{', '.join(order)}",
            "put `inputs` into the file's order",
            "inputs",
        )
    return network


def _fed(request: Request, seed: int) -> tuple[torch.Tensor, ...]:
    specs = request.options["ports"]
    feed = ports.random_feed(specs, ports.example_sizes(specs), seed)
    return tuple(tensors(feed, [spec["name"] for spec in specs]))


def _exported(network: Network, request: Request) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(network, _fed(request, 0), strict=False)
    except Exception as error:
        # Whatever torch raises is about this model; the log keeps the whole trace.
        traceback.print_exc(file=sys.stderr)
        said = " ".join(str(error).split())[:300]
        raise StepError(
            f"torch does not export what the ONNX file became: {said}", WAY_OUT
        ) from error


def _compared(network: Network, request: Request) -> dict[str, Any]:
    """Runs the written program beside the module; gives the outputs.

    Raises:
        StepError: They differ: something was fixed by the export.
    """
    program = load(request.outputs["artifact"], "exported").module()
    names = request.options["outputs"]
    found: dict[str, Any] = {}
    for seed in SEEDS:
        fed = _fed(request, seed)
        with torch.no_grad():
            runs = [
                {n: to_numpy(t) for n, t in zip(names, run(*fed), strict=True)}
                for run in (program, network)
            ]
        found = runs[0]
        apart = difference(*runs)
        if apart is not None:
            raise StepError(
                f"the exported program is not what the ONNX file became: {apart}", WAY_OUT
            )
    return found


def _contract(source: Contract, shapes: dict[str, list[int]], found: dict[str, Any]) -> Contract:
    return Contract(
        [Port(p.name, list(shapes[p.name]), p.dtype, layout=p.layout) for p in source.inputs],
        [
            Port(p.name, list(found[p.name].shape), str(found[p.name].dtype), layout=p.layout)
            for p in source.outputs
        ],
    )
