"""Element by element: one tensor to one of the same shape."""

from __future__ import annotations

import torch

from ..errors import Unsupported
from ..registry import Tensor, operation

_INTEGERS = {
    "int8": (8, torch.int8),
    "uint8": (8, torch.uint8),
    "int16": (16, torch.int16),
    "uint16": (16, torch.int32),
    "int32": (32, torch.int32),
    "uint32": (32, torch.int64),
}
"""Width, and the type that torch computes with; it hardly does with unsigned ones above a byte."""


@operation("abs")
def absolute(x: Tensor) -> Tensor:
    """`|x|`."""
    return torch.abs(x)


@operation("acos")
def acos(x: Tensor) -> Tensor:
    """The inverse cosine."""
    return torch.acos(x)


@operation("asin")
def asin(x: Tensor) -> Tensor:
    """The inverse sine."""
    return torch.asin(x)


@operation("atan")
def atan(x: Tensor) -> Tensor:
    """The inverse tangent."""
    return torch.atan(x)


@operation("atanh")
def atanh(x: Tensor) -> Tensor:
    """The inverse hyperbolic tangent."""
    return torch.atanh(x)


@operation("ceil")
def ceil(x: Tensor) -> Tensor:
    """Rounded towards positive infinity."""
    return torch.ceil(x)


@operation("cos")
def cos(x: Tensor) -> Tensor:
    """The cosine."""
    return torch.cos(x)


@operation("cosh")
def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine."""
    return torch.cosh(x)


@operation("erf")
def erf(x: Tensor) -> Tensor:
    """The error function."""
    return torch.erf(x)


@operation("exp")
def exp(x: Tensor) -> Tensor:
    """`e^x`."""
    return torch.exp(x)


@operation("exp2")
def exp2(x: Tensor) -> Tensor:
    """`2^x`, in the type of `x`."""
    return torch.exp2(x).to(x.dtype)


@operation("floor")
def floor(x: Tensor) -> Tensor:
    """Rounded towards negative infinity."""
    return torch.floor(x)


@operation("identity")
def identity(x: Tensor) -> Tensor:
    """The same."""
    return x


@operation("inverse")
def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """`1 / (x + epsilon)`."""
    return torch.reciprocal(x + epsilon)


@operation("log")
def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    """`log(x + epsilon)`."""
    return torch.log(x + epsilon)


@operation("round")
def round_half_to_even(x: Tensor) -> Tensor:
    """The nearest whole number; 0.5 is rounded to 0."""
    return torch.round(x)


@operation("rsqrt")
def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """`1 / sqrt(x + epsilon)`."""
    return torch.rsqrt(x + epsilon)


@operation("sign")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return torch.sign(x)


@operation("sin")
def sin(x: Tensor) -> Tensor:
    """The sine."""
    return torch.sin(x)


@operation("sinh")
def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine."""
    return torch.sinh(x)


@operation("sqrt")
def sqrt(x: Tensor) -> Tensor:
    """The square root."""
    return torch.sqrt(x)


@operation("square")
def square(x: Tensor) -> Tensor:
    """`x * x`."""
    return torch.mul(x, x)


@operation("tan")
def tan(x: Tensor) -> Tensor:
    """The tangent."""
    return torch.tan(x)


@operation("tanh")
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return torch.tanh(x)


@operation("clip")
def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`x`, but at least `alpha` and at most `beta`."""
    return torch.clamp(x, alpha, beta)


@operation("threshold")
def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    """`x`, but at least `alpha`."""
    return torch.maximum(x, alpha)


@operation("cast")
def cast(x: Tensor, dtype: str) -> Tensor:
    """`x` in another type.

    Floats become whole numbers by dropping the fraction. One that does not fit becomes the nearest
    that does and a NaN zero, as Apple's processors convert; a whole number that does not fit wraps.

    Raises:
        Unsupported: The type is none of the documented ones.
    """
    if dtype in ("fp16", "fp32"):
        return x.to(torch.float32)
    if dtype == "bool":
        return x != 0
    if dtype not in _INTEGERS:
        raise Unsupported(f"cast: its attribute dtype is {dtype!r}")
    bits, target = _INTEGERS[dtype]
    if not x.is_floating_point():
        if dtype in ("uint16", "uint32"):
            return x.to(torch.int64).bitwise_and_((1 << bits) - 1).to(target)
        return x.to(target)
    low, high = (0, (1 << bits) - 1) if dtype[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    # A double holds every limit exactly; a float32 would round 2**31 - 1 up and overflow again.
    return torch.nan_to_num(x.to(torch.float64), nan=0.0).clamp_(low, high).to(target)
