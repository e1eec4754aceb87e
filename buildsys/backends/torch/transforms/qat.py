"""Training with weights and activations rounded as they will be in integers.

torch.ao's eager quantization is deprecated and torchao's knows linear layers only, so the rounding is a
parametrization of our own: convolutions and linear layers of any kind, 2 to 8 bits, gradients straight
through (Y. Bengio et al., arXiv:1308.3432). Afterwards the weights are left on the grid that quantizing
them by their greatest magnitude finds again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.utils import parametrize

from ...kit.protocol.globs import fitting
from ...kit.protocol.request import Request, StepError

CONVOLUTIONS = torch.nn.modules.conv._ConvNd
TRANSPOSED = torch.nn.modules.conv._ConvTransposeNd
RATE = 0.05
"""How fast ranges of activations follow the batches."""
NORMS = torch.nn.modules.batchnorm._BatchNorm


class RoundedWeights(torch.nn.Module):  # type: ignore[misc]
    """Weights as integers of few bits hold them, by symmetric scales.

    Args:
        bits: Width.
        axis: The axis of output channels; `None` for one scale.
        full: Whether a magnitude is divided by half the number of levels (7.5 of 4 bits), as ONNX
            Runtime does with 4 bits, and not by the greatest level (7).
    """

    def __init__(self, bits: int, axis: int | None, full: bool) -> None:
        super().__init__()
        self.high = 2 ** (bits - 1) - 1
        self.low = -self.high - 1 if full else -self.high
        self.axis = axis

    def scale(self, weight: torch.Tensor) -> torch.Tensor:
        """The scales of [out, ...] weights, in their shape but for the axes that one covers."""
        axes = [axis for axis in range(weight.dim()) if axis != self.axis]
        most = weight.detach().abs().amax(axes, keepdim=True)
        return (most / ((self.high - self.low) / 2)).clamp_min(torch.finfo(weight.dtype).tiny)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The rounded weights; the gradient goes to the weights as they are."""
        scale = self.scale(weight)
        rounded = (weight.detach() / scale).round().clamp(self.low, self.high) * scale
        return weight + (rounded - weight).detach()

    def left(self, weight: torch.Tensor) -> torch.Tensor:
        """What is left in the model: on the grid, so that quantizing it once more changes nothing.

        A full grid has no level at its greatest magnitude: what it is measured by stays where it is.
        """
        weight = weight.detach()
        scale = self.scale(weight)
        rounded = (weight / scale).round().clamp(self.low, self.high) * scale
        if self.low == -self.high:
            return rounded
        axes = [axis for axis in range(weight.dim()) if axis != self.axis]
        most = weight.abs().amax(axes, keepdim=True)
        return torch.where(weight.abs() == most, weight, rounded)


class RoundedInput:
    """Rounds the input of a layer, by the range that it has had of late.

    Args:
        kind: `int8`, `uint8` or `int16`; the last by a symmetric range.
    """

    def __init__(self, kind: str) -> None:
        self.levels = 2**16 - 2 if kind == "int16" else 255
        self.symmetric = kind == "int16"
        self.low: torch.Tensor | None = None
        self.high: torch.Tensor | None = None

    def __call__(self, module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """A hook before `forward`."""
        if not args or not isinstance(args[0], torch.Tensor) or not args[0].is_floating_point():
            return None
        return (self._rounded(args[0], module.training), *args[1:])

    def _rounded(self, given: torch.Tensor, learns: bool) -> torch.Tensor:
        if learns or self.low is None or self.high is None:
            self._follow(given.detach())
        assert self.low is not None
        assert self.high is not None
        scale = ((self.high - self.low) / self.levels).clamp_min(1e-12)
        zero = (-self.low / scale).round()
        level = (given.detach() / scale + zero).round().clamp(0, self.levels)
        inside = given.clamp(float(self.low), float(self.high))
        return inside + ((level - zero) * scale - inside).detach()

    def _follow(self, given: torch.Tensor) -> None:
        low, high = given.min().clamp_max(0), given.max().clamp_min(0)
        if self.symmetric:
            high = torch.maximum(-low, high)
            low = -high
        if self.low is None or self.high is None:
            self.low, self.high = low, high
        else:
            self.low = self.low + RATE * (low - self.low)
            self.high = self.high + RATE * (high - self.high)


class Rounding:
    """A model with its layers rounded.

    Args:
        module: The model.
        request: Whose `settings` say how.

    Raises:
        StepError: There is nothing to round, or a glob of `keep_float` fits nothing.
    """

    def __init__(self, module: torch.nn.Module, request: Request) -> None:
        settings = request.options["settings"]
        layers = dict(layers_of(module))
        answers = {path: [path, *parents(path)] for path in layers}
        none = "fits no convolution or linear layer"
        kept = set(fitting(settings["keep_float"], answers, none, field="keep_float"))
        shared = {p for p in layers if _is_shared(module, layers[p].weight)}
        if shared:
            shown = ", ".join(f"`{path}`" for path in sorted(shared))
            request.note(
                f"{shown} stay as they are: their weights belong to another module as well"
            )
        self._layers = [layer for path, layer in layers.items() if path not in kept | shared]
        if not self._layers:
            raise StepError("there is no layer to quantize", "let `keep_float` name fewer")
        self._hooks = []
        full = settings["grid"] == "full"
        for layer in self._layers:
            axis = (1 if isinstance(layer, TRANSPOSED) else 0) if settings["per_channel"] else None
            rounded = RoundedWeights(settings["bits"], axis, full)
            parametrize.register_parametrization(layer, "weight", rounded)
            if settings["activations"] != "float":
                hook = RoundedInput(settings["activations"])
                self._hooks.append(layer.register_forward_pre_hook(hook))
        if not settings["per_channel"] and any(isinstance(p, NORMS) for p in module.modules()):
            request.note(
                "converters fold batch normalisations into the weights before them, each channel by a "
                "factor of its own: weights with one scale for all leave their grid there"
            )
        request.note(f"{len(self._layers)} layers were trained with {settings['bits']}-bit weights")

    def leave(self) -> None:
        """Takes all rounding away, and leaves weights on their grids."""
        for hook in self._hooks:
            hook.remove()
        with torch.no_grad():
            for layer in self._layers:
                rounded = layer.parametrizations.weight[0].left(
                    layer.parametrizations.weight.original
                )
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
                layer.weight.copy_(rounded)


def layers_of(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Convolutions and linear layers, by path."""
    for path, part in module.named_modules():
        if isinstance(part, CONVOLUTIONS | torch.nn.Linear):
            yield path, part


def _is_shared(module: torch.nn.Module, weight: torch.nn.Parameter) -> bool:
    named = module.named_parameters(remove_duplicate=False)
    return sum(parameter is weight for _, parameter in named) > 1


def parents(path: str) -> list[str]:
    """The paths of the modules around one."""
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
