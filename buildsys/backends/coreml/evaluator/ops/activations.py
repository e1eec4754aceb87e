"""Activation functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Tensor, operation


@operation("clamped_relu")
def clamped_relu(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`min(beta, x)` where `x >= 0`, `min(beta, alpha * x)` elsewhere."""
    return torch.clamp(F.leaky_relu(x, alpha), max=beta)


@operation("elu")
def elu(x: Tensor, alpha: float) -> Tensor:
    """`x` where `x > 0`, `alpha * (e^x - 1)` elsewhere."""
    return F.elu(x, alpha)


@operation("gelu")
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """`x` times the normal distribution's integral, or one of two approximations.

    Raises:
        Unsupported: The mode is none of the documented ones.
    """
    if mode == "EXACT":
        return F.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return F.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return torch.sigmoid(x * 1.702).mul_(x)
    raise Unsupported(f"gelu: its attribute mode is {mode!r}")


@operation("leaky_relu")
def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    """`x` where `x >= 0`, `alpha * x` elsewhere."""
    return F.leaky_relu(x, alpha)


@operation("linear_activation")
def linear_activation(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`alpha * x + beta`."""
    return torch.mul(x, alpha).add_(beta)


@operation("prelu")
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """`x` where `x > 0`, `alpha[channel] * x` elsewhere; channels are axis 1."""
    return F.prelu(x, alpha)


@operation("relu")
def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return torch.relu(x)


@operation("relu6")
def relu6(x: Tensor) -> Tensor:
    """`min(max(x, 0), 6)`."""
    return torch.clamp(x, 0, 6)


@operation("scaled_tanh")
def scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`alpha * tanh(beta * x)`."""
    return torch.mul(x, beta).tanh_().mul_(alpha)


@operation("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + e^-x)`."""
    return torch.sigmoid(x)


@operation("sigmoid_hard")
def sigmoid_hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`min(max(alpha * x + beta, 0), 1)`."""
    return torch.mul(x, alpha).add_(beta).clamp_(0, 1)


@operation("silu")
def silu(x: Tensor) -> Tensor:
    """`x * sigmoid(x)`."""
    return F.silu(x)


@operation("softmax")
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """`e^x`, divided by its sum along an axis."""
    return torch.softmax(x, axis)


@operation("softplus")
def softplus(x: Tensor) -> Tensor:
    """`log(1 + e^x)`."""
    return F.softplus(x)


@operation("softplus_parametric")
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha[channel] * log(1 + e^(beta[channel] * x))`; channels are axis 1."""
    shape = (-1,) + (1,) * (x.dim() - 2)
    return F.softplus(x * beta.view(shape)).mul_(alpha.view(shape))


@operation("softsign")
def softsign(x: Tensor) -> Tensor:
    """`x / (1 + |x|)`."""
    return F.softsign(x)


@operation("thresholded_relu")
def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    """`x` where `x >= alpha`, 0 elsewhere."""
    return torch.masked_fill(x, x < alpha, 0.0)
