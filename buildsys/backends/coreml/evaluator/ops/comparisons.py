"""Element by element with broadcasting: comparisons, logic and the choice by a condition."""

from __future__ import annotations

import torch

from ..registry import Tensor, operation


@operation("equal")
def equal(x: Tensor, y: Tensor) -> Tensor:
    """`x == y`."""
    return torch.eq(x, y)


@operation("not_equal")
def not_equal(x: Tensor, y: Tensor) -> Tensor:
    """`x != y`."""
    return torch.ne(x, y)


@operation("greater")
def greater(x: Tensor, y: Tensor) -> Tensor:
    """`x > y`."""
    return torch.gt(x, y)


@operation("greater_equal")
def greater_equal(x: Tensor, y: Tensor) -> Tensor:
    """`x >= y`."""
    return torch.ge(x, y)


@operation("less")
def less(x: Tensor, y: Tensor) -> Tensor:
    """`x < y`."""
    return torch.lt(x, y)


@operation("less_equal")
def less_equal(x: Tensor, y: Tensor) -> Tensor:
    """`x <= y`."""
    return torch.le(x, y)


@operation("logical_and")
def logical_and(x: Tensor, y: Tensor) -> Tensor:
    """Both."""
    return torch.logical_and(x, y)


@operation("logical_or")
def logical_or(x: Tensor, y: Tensor) -> Tensor:
    """Either."""
    return torch.logical_or(x, y)


@operation("logical_xor")
def logical_xor(x: Tensor, y: Tensor) -> Tensor:
    """One and not the other."""
    return torch.logical_xor(x, y)


@operation("logical_not")
def logical_not(x: Tensor) -> Tensor:
    """Not `x`."""
    return torch.logical_not(x)


@operation("select")
def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` where `cond` holds, `b` elsewhere; all three are broadcast."""
    return torch.where(cond, a, b)
