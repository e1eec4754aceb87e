"""The original model: made by the user's factory, loaded, made ready for inference, and run."""

from __future__ import annotations

import os
import random
import re
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...kit.protocol import entry
from ...kit.protocol.request import Request, StepError
from . import binding, checkpoint, structure
from .outputs import is_flat, leaves, order, to_numpy

FACTORY = "source.factory"
TORCH = os.path.dirname(torch.__file__) + os.sep
# What torch says of tensors of a wrong shape, type or value.
MISFIT = re.compile(
    r"shape|size|dim|channel|broadcast|element|dtype|scalar type|expected|index|input|mat1|match",
    re.IGNORECASE,
)


class Eager:
    """The model in PyTorch, run as a `kit.run.measurement.Session`.

    Attributes:
        module: The user's module, in eval mode.
        parameters: The parameter of `forward` that each of the recipe's inputs is passed to by name,
            or `None` where they are passed by position.
        runtime: What runs it, in words.
        chosen: Which tensor of what it returns is which of the recipe's outputs; known after a run.
        flat: Whether it returns a tensor or a plain tuple of them in the recipe's order.
        paths: The expressions that lead to the outputs within what it returns.
    """

    def __init__(self, module: torch.nn.Module, request: Request) -> None:
        self.module = module
        self.parameters = binding.bind(module, request)
        self.runtime = f"torch {torch.__version__}"
        self.chosen: list[int] = []
        self.flat = True
        self.paths: list[str] = []
        self._called = self.takes_recipe_order()
        self._inputs = [port["name"] for port in request.options["ports"]]
        self._outputs: list[str] = request.options["outputs"]
        self._project = request.project

    def takes_recipe_order(self) -> torch.nn.Module:
        """The module, or a wrapper of it, which takes the inputs by position in the recipe's order."""
        if self.parameters is None:
            return self.module
        return binding.ByName(self.module, self.parameters)

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the model on arrays.

        Raises:
            StepError: It does not take the inputs, or returns something else than the recipe says.
        """
        try:
            with torch.no_grad():
                returned = self._called(*tensors(feed, self._inputs))
        except Exception as error:
            shapes = ", ".join(
                f"`{name}` {feed[name].dtype}{list(feed[name].shape)}" for name in self._inputs
            )
            told = entry.described(error, self._project)
            if _is_misfit(error):
                raise StepError(
                    f"inputs do not fit the model: {told}",
                    f"it was given {shapes}, in this order; see `inputs`",
                    "inputs",
                ) from error
            raise StepError(
                f"`forward` raised {told}", f"it was given {shapes}", FACTORY
            ) from error
        found = leaves(returned)
        self.chosen = order(found, self._outputs)
        self.flat = is_flat(returned, self.chosen)
        self.paths = [found[index].path for index in self.chosen]
        return {
            name: to_numpy(found[index].tensor)
            for name, index in zip(self._outputs, self.chosen, strict=True)
        }


def tensors(feed: Mapping[str, NDArray[Any]], names: list[str]) -> tuple[torch.Tensor, ...]:
    """The inputs as tensors in the model's order; copies, since a model may write into them."""
    return tuple(torch.from_numpy(np.array(feed[name], order="C")) for name in names)


def _is_misfit(error: Exception) -> bool:
    """Whether torch refused a tensor, as opposed to the user's own code failing or refusing."""
    if not isinstance(error, RuntimeError | IndexError | ValueError | AssertionError):
        return False
    if isinstance(error, NotImplementedError) or not MISFIT.search(str(error)):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename.startswith(TORCH):
        return True
    # Torch's compiled operators leave no frame: the last one is the line that called them.
    refused = (last.line or "").startswith(("raise", "assert"))
    return not refused and isinstance(error, RuntimeError | IndexError)


def prepare(threads: int) -> None:
    """Makes torch repeatable in this process."""
    torch.set_num_threads(threads)
    # The same as `use_deterministic_algorithms`, which imports the whole of inductor (3.4 s) for it.
    torch.set_deterministic_debug_mode("warn")
    # The fast path of nn.MultiheadAttention is one fused operator that no converter knows.
    torch.backends.mha.set_fastpath_enabled(False)
    seed(0)


def seed(number: int) -> None:
    """Seeds every generator that a model may draw from."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def load(request: Request) -> Eager:
    """Makes the model by the factory, loads the checkpoint, and sets it to inference.

    Raises:
        StepError: The factory fails or gives no module, or the checkpoint does not fit.
    """
    prepare(request.threads)
    made = make(request)
    made.eval()
    made.requires_grad_(False)
    return Eager(made, request)


def make(request: Request) -> torch.nn.Module:
    """The user's module with its weights: those of the checkpoint, or what transforms have left.

    Raises:
        StepError: As `load`.
    """
    made = fresh(request)
    if "structure" in request.inputs:
        structure.apply(made, structure.read(request.inputs["structure"]))
        weights = structure.weights_of(request.inputs["weights"].read_bytes())
        checkpoint.fit(made, weights, request)
    elif "checkpoint" in request.inputs:
        checkpoint.load_into(made, request.inputs["checkpoint"], request)
    return made


def fresh(request: Request) -> torch.nn.Module:
    """What the factory returns.

    Raises:
        StepError: It fails, or returns no module.
    """
    source = request.options["source"]
    made = entry.call(source["factory"], request.project, FACTORY, **source.get("args", {}))
    if not isinstance(made, torch.nn.Module):
        raise StepError(
            f"`{source['factory']}` returned a `{type(made).__name__}`, not a torch.nn.Module",
            "return the module itself",
            FACTORY,
        )
    return made


def inspect(eager: Eager, feed: Mapping[str, NDArray[Any]], request: Request) -> None:
    """Checks that the model is inert: nothing in training mode, nothing random, no state.

    Raises:
        StepError: A part stays in training mode, or two runs differ.
    """
    training = [
        f"`{name or type(part).__name__}`"
        for name, part in eager.module.named_modules()
        if part.training
    ]
    if training:
        raise StepError(
            f"{', '.join(training[:8])} stay{'s' * (len(training) == 1)} in training mode after "
            "`model.eval()`",
            "does a module override `train()` without calling `super().train(mode)`?",
            FACTORY,
        )
    for name, part in eager.module.named_modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is None:
            request.note(
                f"`{name}` has no running statistics: it normalises each batch by itself, so outputs "
                "depend on what else is in the batch"
            )
    seed(0)
    first = eager.run(feed)
    seed(1)
    second = eager.run(feed)
    for name, array in first.items():
        if not np.array_equal(array, second[name], equal_nan=array.dtype.kind in "fc"):
            raise StepError(
                f"two runs on the same input give another `{name}`: the model is random at inference, "
                "or it keeps state between runs",
                "`F.dropout` needs `training=self.training`; state must be an input and an output",
                FACTORY,
            )
    seed(0)
