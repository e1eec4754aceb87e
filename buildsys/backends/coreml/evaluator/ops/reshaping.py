"""The same elements in another shape."""

from __future__ import annotations

import math

import torch

from ..registry import Ints, Tensor, Tensors, operation


@operation("reshape")
def reshape(x: Tensor, shape: Ints) -> Tensor:
    """`x` in another shape.

    -1 is what remains; 0 is the size of `x` on the axis that is as far from the end, or 1 where `x` has
    none. (Before iOS 17 a 0 needs equal ranks, where this means the same.)
    """
    if 0 in shape:
        missing = len(shape) - x.dim()
        shape = tuple(
            size or (x.shape[axis - missing] if axis >= missing else 1)
            for axis, size in enumerate(shape)
        )
    return torch.reshape(x, shape)


@operation("reshape_like")
def reshape_like(
    x: Tensor, ref_tensors: Tensors, begins: Tensors, ends: Tensors, end_masks: Tensors
) -> Tensor:
    """`x` in the shape made of slices of other tensors' shapes."""
    sizes: list[int] = []
    for like, begin, end, to_the_end in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += like.shape[int(begin) : None if bool(to_the_end) else int(end)]
    return torch.reshape(x, sizes)


@operation("expand_dims")
def expand_dims(x: Tensor, axes: Ints) -> Tensor:
    """`x` with axes of size 1, which are `axes` of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = torch.unsqueeze(x, axis)
    return x


@operation("squeeze")
def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    """`x` without these axes (by default: without any) of size 1; larger ones stay."""
    return torch.squeeze(x) if axes is None else torch.squeeze(x, axes)


@operation("flatten2d")
def flatten2d(x: Tensor, axis: int = 1) -> Tensor:
    """The axes before `axis` as one, and those from there on as another."""
    sizes = x.shape
    return torch.reshape(x, (math.prod(sizes[:axis]), math.prod(sizes[axis:])))
