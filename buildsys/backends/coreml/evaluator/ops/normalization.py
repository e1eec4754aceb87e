"""Normalizations."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..registry import Ints, Tensor, operation


@operation("batch_norm")
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, all by channel (axis 1)."""
    return torch.batch_norm(x, gamma, beta, mean, variance, False, 0.0, epsilon, False)


@operation("instance_norm")
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    """As `batch_norm` with each channel's own mean and variance over the spatial axes."""
    return torch.instance_norm(x, gamma, beta, None, None, True, 0.0, epsilon, False)


@operation("l2_norm")
def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """`x / sqrt(sum(x^2) + epsilon)`, the sum over the last three axes."""
    total = torch.sum(x * x, dim=(-3, -2, -1), keepdim=True)
    return x / total.add_(epsilon).sqrt_()


@operation("layer_norm")
def layer_norm(
    x: Tensor,
    axes: Ints | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, the moments over `axes` (all)."""
    rank = x.dim()
    over = sorted(axis % rank for axis in axes) if axes is not None else list(range(rank))
    shape = [x.shape[axis] for axis in over]
    if over == list(range(rank - len(over), rank)):
        return F.layer_norm(x, shape, gamma, beta, epsilon)
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    variance, mean = torch.var_mean(x, dim=over, correction=0, keepdim=True)
    y = (x - mean) * torch.rsqrt(variance + epsilon)
    if gamma is not None:
        y = y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


@operation("local_response_norm")
def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """`x / (k + alpha / size * sum(x^2))^beta`, the sum over `size` neighbouring channels."""
    return F.local_response_norm(x, size, alpha, beta, k)
