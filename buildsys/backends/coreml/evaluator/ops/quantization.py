"""Between floats and the whole numbers that stand for them."""

from __future__ import annotations

import torch

from ..errors import Unsupported
from ..registry import Tensor, operation

_TYPES = {"int8": torch.int8, "uint8": torch.uint8}


@operation("quantize")
def quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """`clip(round(input / scale) + zero_point)`; half is rounded to even.

    Raises:
        Unsupported: `output_dtype` is none of the documented ones.
    """
    if (dtype := _TYPES.get(output_dtype)) is None:
        raise Unsupported(f"quantize: its attribute output_dtype is {output_dtype!r}")
    levels = torch.div(input, _along(scale, axis, input)).round_()
    if zero_point is not None:
        levels += _along(zero_point, axis, input).to(torch.float32)
    limits = torch.iinfo(dtype)
    return levels.clamp_(limits.min, limits.max).to(dtype)


@operation("dequantize")
def dequantize(
    input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """`scale * (input - zero_point)`."""
    levels = input.to(torch.float32)
    if zero_point is not None:
        levels = levels - _along(zero_point, axis, input).to(torch.float32)
    return levels * _along(scale, axis, input)


def _along(values: Tensor, axis: int | None, like: Tensor) -> Tensor:
    """One value, or one for each place along an axis."""
    if axis is None or not values.dim():
        return values.reshape(())
    shape = [1] * like.dim()
    shape[axis] = -1
    return values.view(shape)
