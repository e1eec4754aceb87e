"""Indices that point into an axis."""

from __future__ import annotations

import torch

from ..errors import Undefined
from ..registry import Tensor


def checked(name: str, indices: Tensor, size: int, validate: bool | None) -> Tensor:
    """The indices as int64 within `[0, size)`.

    Before iOS 17 negative ones count from the end. Since then, when `validate_indices` was added, they
    are out of bounds, and what is read or written there is undefined whether it is validated or not.

    Args:
        name: The operation.
        indices: In any shape and type.
        size: Of the axis that they point into.
        validate: The operation's `validate_indices`; `None` where the operation has none.

    Raises:
        Undefined: An index is out of bounds.
    """
    indices = indices.to(torch.int64)
    if not indices.numel():
        return indices
    # A loop has one, again and again.
    ends = torch.aminmax(indices) if indices.numel() > 1 else (indices, indices)
    low, high = (int(end) for end in ends)
    least = -size if validate is None else 0
    if low < least or high >= size:
        wrong = low if low < least else high
        raise Undefined(f"{name}: the index {wrong} is outside [{least}, {size})")
    return torch.where(indices < 0, indices + size, indices) if low < 0 else indices
