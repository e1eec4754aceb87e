"""The steps that make files: capture, export, adopt a file."""

from __future__ import annotations

from typing import Any

import torch

from ..kit.export.survey import Survey, capture_sizes, survey
from ..kit.protocol import ports as ports_of
from ..kit.protocol.request import Request
from .capture import canonical, decomposition, graphs, rewriting
from .capture.adopt import adopt
from .files import load
from .original import model

__all__ = ["adopt", "capture", "export"]

PRELOAD = {
    "adopt": ("numpy.random",),
    "capture": ("numpy.random", "safetensors.torch"),
    "export": ("numpy.random", "safetensors.torch", "torch.export._trace"),
}
"""What each step imports late; see `toolchains/inside/forks.py`."""


def capture(request: Request) -> None:
    """Makes a TorchScript file of the user's factory and checkpoint, by trace or script.

    Raises:
        StepError: The model cannot be made, is not inert, does not take the declared inputs, gives
            other outputs, or its graph is not the model.
    """
    eager, found = _checked(request, dynamic=True)
    method = request.options["method"]
    path = request.outputs["artifact"]

    def write(module: Any, baked: list[str]) -> None:
        canonical.save_torchscript(module, path)
        # What is compared is what was written.
        graphs.compare(eager, load(path, "torchscript"), found, request, method, baked)

    if method == "script":
        scripted = graphs.script(eager, request)
        decomposition.note_kept(scripted, "a script", request)
        write(scripted, [])
    else:
        rewriting.trace(
            eager, lambda modes: graphs.trace(eager, found, request, modes), request, write
        )
    found.contract.write(request.outputs["io"])


def export(request: Request) -> None:
    """Makes an ExportedProgram of the user's factory and checkpoint.

    With `dynamic` false, sizes are fixed at the example's.

    Raises:
        StepError: As `capture`.
    """
    dynamic = request.options.get("dynamic", True)
    eager, found = _checked(request, dynamic)
    path = request.outputs["artifact"]

    def write(program: torch.export.ExportedProgram) -> None:
        canonical.save_exported(program, path)
        graphs.compare(eager, load(path, "exported").module(), found, request, "export", [])

    rewriting.export(
        eager,
        lambda modes: graphs.export(eager, found, request, dynamic, modes),
        request,
        write,
    )
    found.contract.write(request.outputs["io"])


def _checked(request: Request, dynamic: bool) -> tuple[model.Eager, Survey]:
    eager = model.load(request)
    ports = request.options["ports"]
    feed = ports_of.random_feed(ports, capture_sizes(ports, dynamic), seed=0)
    model.inspect(eager, feed, request)
    outputs, layouts = request.options["outputs"], request.options.get("layouts")
    found = survey(eager.run, ports, outputs, dynamic, layouts)
    _note_flattened(eager, outputs, request)
    return eager, found


def _note_flattened(eager: model.Eager, outputs: list[str], request: Request) -> None:
    """Says where outputs lie within what the model returns, unless their names or places do."""
    nested = [
        f"`{name}` is `{path.lstrip('.')}`"
        for number, (name, path) in enumerate(zip(outputs, eager.paths, strict=True))
        if path not in ("", f"[{name!r}]", f".{name}", f"[{number}]")
    ]
    if nested:
        request.note(f"of what the model returns, {', '.join(nested)}")
