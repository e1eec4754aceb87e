"""Single weights that are zero and stay so: unstructured pruning, by torch.nn.utils.prune."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch.nn.utils import prune

from ...kit.protocol.globs import fitting
from ...kit.protocol.request import Request, StepError
from .qat import layers_of, parents

WEIGHT = "weight"


def prunable(module: torch.nn.Module, request: Request) -> list[str]:
    """The paths of layers that may lose weights.

    Raises:
        StepError: There are none, or a glob of `keep` fits nothing.
    """
    paths = [path for path, _ in layers_of(module)]
    answers = {path: [path, *parents(path)] for path in paths}
    patterns = request.options["settings"]["keep"]
    kept = set(fitting(patterns, answers, "fits no convolution or linear layer", field="keep"))
    left = [path for path in paths if path not in kept]
    if not left:
        raise StepError("there is no layer to prune", "let `keep` name fewer", "keep")
    return left


@contextmanager
def held(module: torch.nn.Module, names: Iterable[str]) -> Iterator[None]:
    """Holds the zeros of weights, whatever a training does meanwhile.

    Args:
        module: The model.
        names: Paths of layers.
    """
    parts = dict(module.named_modules())
    layers = [parts[name] for name in names]
    for layer in layers:
        prune.custom_from_mask(layer, WEIGHT, (layer.weight != 0).to(layer.weight.dtype))
    try:
        yield
    finally:
        for layer in layers:
            prune.remove(layer, WEIGHT)


def thin(module: torch.nn.Module, names: list[str], amount: float, everywhere: bool) -> None:
    """Sets the least weights of layers to zero.

    Those that are zero already are the least: of what is thinned in steps, the same ones stay zero.

    Args:
        module: The model.
        names: Paths of layers.
        amount: Which part of the weights is zero afterwards.
        everywhere: Whether all layers are compared.
    """
    parts = dict(module.named_modules())
    layers = [(parts[name], WEIGHT) for name in names]
    if everywhere:
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=amount)
    else:
        for layer, name in layers:
            prune.l1_unstructured(layer, name, amount)
    for layer, name in layers:
        prune.remove(layer, name)


def zeros(module: torch.nn.Module, names: Iterable[str]) -> tuple[int, int]:
    """How many weights of layers are zero, and how many there are."""
    parts = dict(module.named_modules())
    weights = [parts[name].weight for name in names]
    return sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)
