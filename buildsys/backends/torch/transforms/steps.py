"""Steps that change a model before it is captured: prune, finetune, distill, qat."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from ...kit.protocol.request import Request, StepError
from ..original import model
from ..original.structure import (
    Shape,
    apply,
    difference,
    read,
    save_weights,
    weights_bytes,
    weights_of,
)
from . import masks, scores, training
from .channels import Channels
from .qat import Rounding

__all__ = ["distill", "finetune", "prune", "qat"]

PRELOAD = dict.fromkeys(
    ("distill", "finetune", "prune", "qat"), ("numpy.random", "safetensors.torch", "torch.optim")
)
SPARSE = "sparse"
"""Names, in a structure, the layers whose zeros are held by trainings to come."""


def finetune(request: Request) -> None:
    """Trains the model on.

    Inputs of all steps here: `checkpoint`, or `weights` and `structure` of the step before; maybe
    `data` (`.npz`: inputs and labels), and of `distill` the same of the teacher, as `teacher.…`.
    Options: `ports`, `outputs`, `source`, `settings` (the recipe's), and of `distill` `teacher`.
    Outputs: `weights`, `structure` (see `structure`) and `report` (`report.json`: `parameters` before and
    after, and what else to report of the step).

    Raises:
        StepError: The model cannot be made, or what trains it fails.
    """
    _trained(request, None)


def distill(request: Request) -> None:
    """Trains the model with another one of the recipe as its teacher.

    Raises:
        StepError: As `finetune`, or the teacher cannot be made.
    """
    prefix = "teacher."
    files = {n.removeprefix(prefix): p for n, p in request.inputs.items() if n.startswith(prefix)}
    asked = replace(request, inputs=files, options=request.options["teacher"])
    try:
        teacher = model.make(asked)
    except StepError as error:
        raise StepError(f"the teacher: {error.message}", error.hint, "teacher") from error
    teacher.eval()
    teacher.requires_grad_(False)
    _trained(request, teacher)


def qat(request: Request) -> None:
    """Trains the model with weights and activations rounded.

    Raises:
        StepError: As `finetune`, or there is nothing to round.
    """
    module, made, sparse = _begun(request)
    before = _count(module)
    data = training.data_of(request)
    rounding = Rounding(module, request)
    training.train(module, data, training.Run(request), request)
    rounding.leave()
    _check_finite(module)
    _finish(request, module, made, sparse, {"parameters": [before, _count(module)]})


def _trained(request: Request, teacher: torch.nn.Module | None) -> None:
    module, made, sparse = _begun(request)
    before = _count(module)
    data = training.data_of(request)
    with masks.held(module, sparse):
        training.train(module, data, training.Run(request, teacher), request)
    _finish(request, module, made, sparse, {"parameters": [before, _count(module)]})


def prune(request: Request) -> None:
    """Takes weights away, in steps, each followed by a training where one is given.

    With a `floor` the last step is kept whose metric is within it.

    Raises:
        StepError: As `finetune`; nothing can be pruned; or not even the first step is within the
            floor.
    """
    module, made, sparse = _begun(request)
    settings = request.options["settings"]
    data = training.data_of(request) if settings["train"] else {}
    structured = settings["method"] == "structured"
    names = [] if structured else masks.prunable(module, request)
    channels = Channels(module, request) if structured else None
    held = list(dict.fromkeys([*sparse, *names]))
    steps: int = settings["steps"]
    before, weights = _count(module), sum(p.numel() for p in module.parameters())
    lowest = None
    if settings["floor"] is not None:
        began = scores.score(_eager(module, request), request)
        lowest = began - settings["floor"]
    kept = _Kept(request, module, made)
    start = kept.steps
    history: list[dict[str, Any]] = kept.history
    for step in range(start + 1, steps + 1):
        share = settings["amount"] * step / steps
        if channels is not None:
            channels.prune(share)
        else:
            masks.thin(module, names, share, settings["scope"] == "global")
        if settings["train"]:
            with masks.held(module, held) if held else nullcontext():
                run = training.Run(request, None, step, steps)
                training.train(module, data, run, request)
        row: dict[str, Any] = {"step": step, "parameters": _count(module)}
        if lowest is not None:
            reached = scores.score(_eager(module, request), request)
            row["metric"] = abs(reached)
            if reached < lowest - 1e-12:
                _stop_at(request, row, step, settings["floor"], abs(began), history)
                kept.back()
                break
        history.append(row)
        kept.keep(history)
    if structured:
        after = _count(module)
        request.note(
            f"{weights - sum(p.numel() for p in module.parameters())} of {weights} parameters were "
            f"pruned away: {after} are left"
        )
    else:
        none, count = masks.zeros(module, names)
        request.note(
            f"{none} of {count} weights in {len(names)} layers are zero ({none / count:.1%})"
        )
    report = {"parameters": [before, _count(module)], "steps": history}
    _finish(request, module, made, held, report)


def _stop_at(
    request: Request,
    row: dict[str, Any],
    step: int,
    floor: float,
    began: float,
    history: list[dict[str, Any]],
) -> None:
    """Says that a step fell below the floor.

    Raises:
        StepError: It is the first one.
    """
    if not history:
        raise StepError(
            f"the first step of pruning takes the metric from {began:.4f} to {row['metric']:.4f}, more "
            f"than the floor of {floor} allows",
            "prune less, in more `steps`, or train longer in between",
            "floor",
        )
    request.note(
        f"pruning stopped after step {step - 1} of {request.options['settings']['steps']}: step {step} "
        f"takes the metric from {began:.4f} to {row['metric']:.4f}, more than the floor of {floor} allows"
    )


class _Kept:
    """The last good step of pruning: what a later one falls back to, and an interruption too."""

    def __init__(self, request: Request, module: torch.nn.Module, made: Shape) -> None:
        self._resume = request.resume
        self._module = module
        self._made = made
        self.history: list[dict[str, Any]] = []
        self._last = self._now()
        saved = self._resume.load("steps.json")
        weights = self._resume.load("steps.safetensors")
        if saved is not None and weights is not None:
            record = json.loads(saved)
            if record["weights"] == _digest(weights):
                self._last = (record["structure"], weights)
                self.history = record["history"]
                self.back()
                request.note(f"pruning was taken up after step {self.steps}")

    @property
    def steps(self) -> int:
        """How many are done."""
        return len(self.history)

    def _now(self) -> tuple[dict[str, Any], bytes]:
        state = {n: t.clone() for n, t in self._module.state_dict().items()}
        return difference(self._made, self._module), weights_bytes(state)

    def keep(self, history: list[dict[str, Any]]) -> None:
        """Keeps what the model is now."""
        self._last = self._now()
        structure, weights = self._last
        record = {"structure": structure, "history": history, "weights": _digest(weights)}
        self._resume.save("steps.safetensors", weights)
        self._resume.save("steps.json", json.dumps(record).encode())

    def back(self) -> None:
        """Makes the model what it was when it was kept last."""
        structure, weights = self._last
        numbers = {path: dict(found) for path, found in self._made.numbers.items() if found}
        for path, found in structure["numbers"].items():
            numbers.setdefault(path, {}).update(found)
        whole = {"tensors": {**self._made.tensors, **structure["tensors"]}, "numbers": numbers}
        apply(self._module, whole)
        self._module.load_state_dict(weights_of(weights), strict=False)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _begun(request: Request) -> tuple[torch.nn.Module, Shape, list[str]]:
    """The model as the steps before left it, the factory's sizes, and the layers with zeros to hold."""
    # One thread: sums of gradients are otherwise split as the machine has cores.
    model.prepare(1)
    module = model.make(request)
    module.eval()
    made = Shape.of(model.fresh(request))
    sparse: list[str] = []
    if "structure" in request.inputs:
        sparse = read(request.inputs["structure"]).get(SPARSE, [])
    return module, made, sparse


def _eager(module: torch.nn.Module, request: Request) -> model.Eager:
    module.eval()
    return model.Eager(module, request)


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _check_finite(module: torch.nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise StepError(f"`{name}` is not a number after quantization", None, training.FIELD)


def _finish(
    request: Request,
    module: torch.nn.Module,
    made: Shape,
    sparse: list[str],
    report: dict[str, Any],
) -> None:
    """Writes what is left of the model."""
    structure = difference(made, module)
    if sparse:
        structure[SPARSE] = sparse
    request.outputs["structure"].write_text(json.dumps(structure, sort_keys=True) + "\n")
    save_weights(module, request.outputs["weights"])
    request.outputs["report"].write_text(json.dumps(report, sort_keys=True) + "\n")
