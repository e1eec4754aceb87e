"""Norms over parts of their input, spelled out.

ExecuTorch's kernel of `native_group_norm` takes the variance as E[x²] - E[x]². Of a constant input that is a
rounding error, which may be negative: the kernel gives NaN where torch gives zeros. A steady tone in the
microphone's channel, or one color, is such an input. Here the mean is subtracted first, as torch does.
"""

from __future__ import annotations

from typing import Any

import torch

GROUP = torch.ops.aten.group_norm.default
INSTANCE = torch.ops.aten.instance_norm.default


def spelled_out(program: Any) -> Any:
    """The exported program with these norms as the operations that they consist of."""
    if not any(node.target in (GROUP, INSTANCE) for node in program.graph.nodes):
        return program
    return program.run_decompositions({GROUP: _group_norm, INSTANCE: _instance_norm})


def _group_norm(
    x: torch.Tensor,
    groups: int,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
    _: bool = True,
) -> torch.Tensor:
    apart = x.reshape(x.shape[0], groups, -1)
    return _scaled(_normal(apart, (2,), eps).reshape(x.shape), weight, bias)


def _instance_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    mean: torch.Tensor | None,
    variance: torch.Tensor | None,
    own: bool,
    _: float,
    eps: float,
    __: bool,
) -> torch.Tensor:
    if own or mean is None or variance is None:
        return _scaled(_normal(x, tuple(range(2, x.dim())), eps), weight, bias)
    centered = x - _along_channels(mean, x)
    return _scaled(centered * torch.rsqrt(_along_channels(variance, x) + eps), weight, bias)


def _normal(x: torch.Tensor, axes: tuple[int, ...], eps: float) -> torch.Tensor:
    centered = x - x.mean(axes, keepdim=True)
    variance = (centered * centered).mean(axes, keepdim=True)
    return centered * torch.rsqrt(variance + eps)


def _scaled(
    x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    x = x if weight is None else x * _along_channels(weight, x)
    return x if bias is None else x + _along_channels(bias, x)


def _along_channels(each: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return each.reshape(1, -1, *[1] * (x.dim() - 2))
