"""Elements picked by indices."""

from __future__ import annotations

import math

import torch

from ..registry import Tensor, operation
from .indices import checked


@operation("gather")
def gather(
    x: Tensor,
    indices: Tensor,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool | None = None,
) -> Tensor:
    """`x[..., indices, ...]` at `axis`; the first `batch_dims` axes of both go together.

    Raises:
        Undefined: An index is out of bounds.
    """
    axis %= x.dim()
    places = checked("gather", indices, x.shape[axis], validate_indices)
    if not batch_dims:
        if not places.dim():
            return torch.select(x, axis, int(places))
        picked = torch.index_select(x, axis, places.reshape(-1))
        return picked if places.dim() == 1 else picked.unflatten(axis, places.shape)
    inner = places.shape[batch_dims:]
    view = [*places.shape[:batch_dims], *(1,) * (axis - batch_dims), math.prod(inner)]
    rest = x.shape[axis + 1 :]
    spread = places.reshape(*view, *(1,) * len(rest))
    spread = spread.expand(*x.shape[:axis], view[-1], *rest)
    return torch.gather(x, axis, spread).reshape(*x.shape[:axis], *inner, *rest)


@operation("gather_along_axis")
def gather_along_axis(
    x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool | None = None
) -> Tensor:
    """`x` at `indices` along an axis; on the other axes the index is the place itself.

    Raises:
        Undefined: An index is out of bounds.
    """
    return torch.gather(
        x, axis, checked("gather_along_axis", indices, x.shape[axis], validate_indices)
    )


@operation("gather_nd")
def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool | None = None
) -> Tensor:
    """`x[indices[i, ..., :]]`; the first `batch_dims` axes of both go together.

    Raises:
        Undefined: An index is out of bounds.
    """
    own = [
        torch.arange(size).view(-1, *(1,) * (indices.dim() - 2 - axis))
        for axis, size in enumerate(x.shape[:batch_dims])
    ]
    given = [
        checked("gather_nd", column, size, validate_indices)
        for column, size in zip(indices.unbind(-1), x.shape[batch_dims:], strict=False)
    ]
    return x[(*own, *given)]
