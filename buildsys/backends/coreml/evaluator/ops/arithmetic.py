"""Element by element with broadcasting: `x` and `y` to a number."""

from __future__ import annotations

import torch

from ..errors import Unsupported
from ..registry import Tensor, operation


@operation("add")
def add(x: Tensor, y: Tensor) -> Tensor:
    """`x + y`."""
    return torch.add(x, y)


@operation("sub")
def sub(x: Tensor, y: Tensor) -> Tensor:
    """`x - y`."""
    return torch.sub(x, y)


@operation("mul")
def mul(x: Tensor, y: Tensor) -> Tensor:
    """`x * y`."""
    return torch.mul(x, y)


@operation("real_div")
def real_div(x: Tensor, y: Tensor) -> Tensor:
    """`x / y`, of whole numbers without the remainder (coremltools' tests).

    Raises:
        Unsupported: A negative quotient of whole numbers has a remainder: whether it is rounded to zero
            or down is said nowhere.
    """
    if x.is_floating_point():
        return torch.div(x, y)
    quotient = torch.div(x, y, rounding_mode="trunc")
    if not torch.equal(quotient, torch.div(x, y, rounding_mode="floor")):
        raise Unsupported(
            "real_div: whole numbers of which one is negative, with a remainder; their rounding is not "
            "documented"
        )
    return quotient


@operation("floor_div")
def floor_div(x: Tensor, y: Tensor) -> Tensor:
    """`x / y`, rounded towards negative infinity."""
    return torch.div(x, y, rounding_mode="floor")


@operation("mod")
def mod(x: Tensor, y: Tensor) -> Tensor:
    """`x % y` with the sign of `y`, the remainder that belongs to `floor_div`."""
    return torch.remainder(x, y)


@operation("pow")
def power(x: Tensor, y: Tensor) -> Tensor:
    """`x ^ y`."""
    return torch.pow(x, y)


@operation("maximum")
def maximum(x: Tensor, y: Tensor) -> Tensor:
    """The larger of both."""
    return torch.maximum(x, y)


@operation("minimum")
def minimum(x: Tensor, y: Tensor) -> Tensor:
    """The smaller of both."""
    return torch.minimum(x, y)
