"""Seeded weights that leave no part of a model dead.

torch's own start hides errors: the last norms of residual blocks and layer scales begin at zero in
many implementations, biases too, and running statistics are zeros and ones, so that a converter could
drop or swap them unseen.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RECURRENT = ("weight_ih", "weight_hh")


def seeded(model: nn.Module, seed: int) -> nn.Module:
    """Draws all weights and running statistics anew.

    Matrices and kernels keep the size of what passes through rectifiers, gains are around 1, biases
    around 0, and neither is exactly that.

    Args:
        model: The module; it is changed.
        seed: Decides every number.
    """
    generator = torch.Generator().manual_seed(seed)
    slopes = {id(part.weight) for part in model.modules() if isinstance(part, nn.PReLU)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            share = 0.25 if id(parameter) in slopes else 1.0
            parameter.copy_(share * _drawn(name, parameter, generator))
        for name, buffer in model.named_buffers():
            drawn = torch.randn(buffer.shape, generator=generator)
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * drawn)
            elif name.endswith("running_var"):
                buffer.copy_((0.2 * drawn).exp())
    return model.eval()


def _drawn(name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(parameter.shape, generator=generator)
    last = name.rpartition(".")[2]
    if "bias" in last:
        return 0.1 * drawn
    if parameter.ndim < 2:
        return 1 + 0.2 * drawn
    inputs = math.prod(parameter.shape[1:])
    gain = 1.0 if last.startswith(RECURRENT) else 2.0
    return math.sqrt(gain / inputs) * drawn
