"""Order, ranks, running sums, and which elements there are."""

from __future__ import annotations

import torch

from ..errors import Unsupported
from ..registry import Tensor, Tensors, operation

_INDEX_TYPES = ("int32", "uint16")  # Both are computed with as int32.


@operation("topk")
def topk(
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> Tensors | Tensor:
    """The `k` largest (or smallest) elements along an axis in order, and where they are.

    With k = -1 all of them. Without `sort` no order is promised: the same is returned.

    Raises:
        Unsupported: `output_indices_dtype` is none of the documented ones.
    """
    if output_indices_dtype not in _INDEX_TYPES:
        raise Unsupported(f"topk: its attribute output_indices_dtype is {output_indices_dtype!r}")
    count = x.shape[axis] if k == -1 else k
    values, indices = torch.topk(x, count, axis, largest=not ascending, sorted=True)
    return (values, indices.to(torch.int32)) if return_indices else values


@operation("argsort")
def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    """Where the elements are that come first, second, …; equal ones stay in their order."""
    return torch.argsort(x, dim=axis, descending=not ascending, stable=True).to(torch.int32)


@operation("cumsum")
def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Running sums, without the element itself where `exclusive`, from the end where `reverse`."""
    if reverse:
        x = torch.flip(x, (axis,))
    y = torch.cumsum(x, axis, dtype=x.dtype)
    if exclusive:
        size = x.shape[axis]
        first = torch.zeros_like(torch.narrow(y, axis, 0, min(1, size)))
        y = torch.cat((first, torch.narrow(y, axis, 0, max(0, size - 1))), axis)
    return torch.flip(y, (axis,)) if reverse else y


@operation("non_zero")
def non_zero(x: Tensor) -> Tensor:
    """The indices of all elements that are not 0: [count, rank]."""
    return torch.nonzero(x).to(torch.int32)
