"""Calls the user's training function on a model, and looks at what it has made of it."""

from __future__ import annotations

import io
import os
import random
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...kit.protocol import arrays, entry
from ...kit.protocol.request import Request, StepError
from ..original import model

FIELD = "train.python"
LABELS = "labels"
SHOWN = 3


class Run:
    """What a training function receives besides the model and the data, and what it may ask for.

    Attributes:
        seed: The recipe's `seed`; torch, numpy and random have been seeded with it.
        args: The recipe's `args`.
        teacher: The teacher of `distill`, in eval mode and without gradients; otherwise `None`.
        step: Which of the steps of `prune` it is, from 1; 1 for all else.
        steps: How many there are.
    """

    def __init__(
        self,
        request: Request,
        teacher: torch.nn.Module | None = None,
        step: int = 1,
        steps: int = 1,
    ) -> None:
        train = request.options["settings"]["train"]
        self.seed: int = train["seed"]
        self.args: dict[str, Any] = train["args"]
        self.teacher = teacher
        self.step = step
        self.steps = steps
        self._request = request
        self._name = f"train-{step}.pt"

    def progress(self, done: float, total: float, **figures: float | int | str) -> None:
        """Says how far the training is: epochs or batches, and figures such as `loss=0.1`."""
        if self.steps > 1:
            figures = {"step": f"{self.step} of {self.steps}", **figures}
        self._request.progress(done, total, **figures)

    def save(self, state: Mapping[str, Any]) -> None:
        """Keeps a state, should the build be interrupted: tensors, numbers, texts, nested.

        The state of the generators of torch, numpy and random is kept with it.
        """
        buffer = io.BytesIO()
        torch.save({"state": dict(state), "random": _generators()}, buffer)
        self._request.resume.save(self._name, buffer.getvalue())

    def resume(self) -> dict[str, Any] | None:
        """What an interrupted attempt at this very training saved last, or `None`.

        The generators are then as they were.
        """
        content = self._request.resume.load(self._name)
        if content is None:
            return None
        kept = torch.load(io.BytesIO(content), weights_only=True)
        _set_generators(kept["random"])
        self._request.note("the training was taken up where it was interrupted")
        found: dict[str, Any] = kept["state"]
        return found


def data_of(request: Request) -> dict[str, torch.Tensor]:
    """The training data: inputs by name and `labels` (`labels/NAME` where there are several), [n, ...].

    Raises:
        StepError: There is a NaN or an infinity in it.
    """
    if "data" not in request.inputs:
        return {}
    found = {}
    for name, array in arrays.load(request.inputs["data"]).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StepError(
                f"there is a NaN or an infinity in `{name}` of the training data",
                "clean the dataset",
                "train.dataset",
            )
        if arrays.is_labels(name):
            name = LABELS + name.removeprefix(arrays.LABELS)
        found[name] = torch.from_numpy(array.copy())
    return found


def train(
    module: torch.nn.Module, data: dict[str, torch.Tensor], run: Run, request: Request
) -> None:
    """Trains a module in place.

    Raises:
        StepError: The function raises, leaves another architecture, or weights that are not numbers.
    """
    name = request.options["settings"]["train"]["python"]
    function = entry.load(name, request.project, FIELD)
    before = _signature(module)
    model.seed(run.seed)
    module.train()
    try:
        with torch.enable_grad():
            returned = function(module, data, run)
    except Exception as error:
        raise StepError(
            f"`{name}` raised {entry.described(error, request.project)}",
            _lines(error, request.project),
            FIELD,
        ) from error
    finally:
        module.eval()
    if returned is not None:
        raise StepError(
            f"`{name}` returned a `{type(returned).__name__}`",
            "it trains the model that it is given, in place, and returns nothing",
            FIELD,
        )
    check(module, before, name)


def check(module: torch.nn.Module, before: Mapping[str, str], name: str) -> None:
    """Looks whether a training function left the architecture, and numbers in it.

    Raises:
        StepError: It did not.
    """
    after = _signature(module)
    if after != before:
        rows = [
            f"`{each}` {_became(before.get(each), after.get(each))}"
            for each in {**before, **after}
            if before.get(each) != after.get(each)
        ]
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise StepError(
            f"`{name}` made another architecture of the model: {', '.join(rows[:SHOWN])}{more}",
            "train the parameters that are there; `prune` changes sizes",
            FIELD,
        )
    broken = [
        each
        for each, tensor in module.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if broken:
        more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        shown = ", ".join(f"`{each}`" for each in broken[:SHOWN])
        raise StepError(
            f"`{name}` left NaN or infinities in {shown}{more}",
            "lower the learning rate, or clip gradients",
            FIELD,
        )


def _signature(module: torch.nn.Module) -> dict[str, str]:
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        for name, tensor in module.state_dict().items()
    }


def _became(before: str | None, after: str | None) -> str:
    if before is None:
        return f"is new ({after})"
    return "is gone" if after is None else f"is {after}, it was {before}"


def _lines(error: BaseException, project: Path | None) -> str | None:
    """The user's own lines that led to the error, the innermost last."""
    if project is None:
        return None
    root = os.path.realpath(project) + os.sep
    lines = [
        f"{os.path.realpath(frame.filename).removeprefix(root)}:{frame.lineno} in {frame.name}: "
        f"{frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.realpath(frame.filename).startswith(root)
    ]
    return "; ".join(lines) or None


def _generators() -> dict[str, Any]:
    kind, keys, position, has, cached = np.random.get_state()
    version, state, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has, cached],
        "random": [version, list(state), gauss],
    }


def _set_generators(kept: Mapping[str, Any]) -> None:
    torch.set_rng_state(kept["torch"])
    kind, keys, position, has, cached = kept["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has, cached))
    version, state, gauss = kept["random"]
    random.setstate((version, tuple(state), gauss))
