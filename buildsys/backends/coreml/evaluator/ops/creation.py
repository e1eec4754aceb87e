"""Tensors made from numbers."""

from __future__ import annotations

import torch

from ..errors import Undefined
from ..registry import Ints, Tensor, operation


@operation("fill")
def fill(shape: Ints, value: Tensor | None = None) -> Tensor:
    """One value everywhere, 0.0 by default."""
    value = torch.zeros(()) if value is None else value
    return torch.full(shape, value.item(), dtype=value.dtype)


@operation("fill_like")
def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """One value, 0.0 by default, in the shape of another tensor."""
    return fill(tuple(ref_tensor.shape), value)


@operation("one_hot")
def one_hot(
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
) -> Tensor:
    """`on_value` (1) where the place along a new axis is the index, `off_value` (0) elsewhere."""
    one = torch.ones((), dtype=torch.int32)
    on = one if on_value is None else on_value.reshape(())
    off = one - 1 if off_value is None else off_value.reshape(())
    places = torch.arange(one_hot_vector_size)
    rank = indices.dim() + 1
    shape = [1] * rank
    shape[axis] = one_hot_vector_size
    hot = indices.to(torch.int64).unsqueeze(axis) == places.view(shape)
    return torch.where(hot, on, off)


@operation("range_1d")
def range_1d(end: Tensor, start: Tensor, step: Tensor) -> Tensor:
    """`start`, `start + step`, … below `end` (above it, where `step` is negative).

    Raises:
        Undefined: `step` is zero.
    """
    first, last, pace = start.item(), end.item(), step.item()
    if pace == 0:
        raise Undefined("range_1d: its step is 0")
    if (last - first) * pace <= 0:
        return torch.empty(0, dtype=start.dtype)
    return torch.arange(first, last, pace, dtype=start.dtype)


@operation("shape")
def shape(x: Tensor) -> Tensor:
    """The sizes of `x`."""
    return torch.tensor(x.shape, dtype=torch.int32)
