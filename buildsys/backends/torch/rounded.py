"""The original with the weights that an artifact holds: what its graph is compared with.

See `verify.held` for what is put in the place of what.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from ..kit import arrays, batches, edges
from ..kit.request import Request
from .floor import original
from .state import named


def rounded(request: Request) -> None:
    """Runs the original in its own precision, with some of its weights replaced.

    Where none are to be replaced, or one cannot be, nothing is run.

    Inputs: `samples`, `edges` and `held` (`.npz`); the model's files, or `artifact` and `io` where the
    original is a file. Options: `ports`, `outputs`, `source`.
    Outputs: `samples` and `edge_outputs` (`.npz`), as `kit.measure.run_artifact` writes them, empty where
    nothing was run; `told` (`.json`): the `reason` why not, or `null`.

    Raises:
        StepError: The model cannot be made.
    """
    replaced = arrays.load(request.inputs["held"])
    given: arrays.Arrays = {}
    at_edges: arrays.Arrays = {}
    reason: str | None = "none of its weights is rounded"
    if replaced:
        session, module = original(request)
        reason = _replace(module, replaced)
    if reason is None:
        ports: list[dict[str, Any]] = request.options["ports"]
        names: list[str] = request.options["outputs"]
        drawn = arrays.load(request.inputs["samples"])
        feeds = {port["name"]: drawn[port["name"]] for port in ports}
        plan = batches.plan(ports, None, True)
        given = batches.run(session.run, feeds, plan, names).outputs
        fed = arrays.load(request.inputs["edges"])
        at_edges = edges.artifact(session.run, fed, plan, names)
    arrays.save(request.outputs["samples"], given)
    arrays.save(request.outputs["edge_outputs"], at_edges)
    request.outputs["told"].write_text(json.dumps({"reason": reason}) + "\n")


def _replace(module: Any, replaced: arrays.Arrays) -> str | None:
    """Gives a module other weights; says why it cannot."""
    tensors = dict(named(module))
    missing = sorted(set(replaced) - set(tensors))
    if missing:
        return f"`{missing[0]}` is a constant of the original's graph, and cannot be another"
    with torch.no_grad():
        for name, array in replaced.items():
            tensors[name].copy_(torch.from_numpy(array))
    return None
