"""Pooling over one to three spatial axes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Ints, Tensor, operation
from . import padding

_MAX = {3: torch.max_pool1d, 4: torch.max_pool2d, 5: torch.max_pool3d}
_AVERAGE = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


def _placed(
    name: str, x: Tensor, kernel: Ints, strides: Ints | None, pad_type: str, pad: Ints | None
) -> tuple[Ints, Ints, Ints]:
    strides = strides or (1,) * len(kernel)
    before, after = padding.around(name, pad_type, pad, x.shape[2:], kernel, strides)
    return strides, before, after


def _kernel_pads(before: Ints, after: Ints, kernel: Ints) -> bool:
    """Whether torch's kernels take this padding themselves."""
    return before == after and all(2 * b <= k for b, k in zip(before, kernel, strict=True))


@operation("max_pool")
def max_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element in each window; padding never is.

    Raises:
        Unsupported: `pad_type` is none of the documented ones, or a padding does not go with
            `ceil_mode`.
    """
    strides, before, after = _placed("max_pool", x, kernel_sizes, strides, pad_type, pad)
    if not _kernel_pads(before, after, kernel_sizes):
        _need_floor("max_pool", ceil_mode)
        x = padding.extended(x, before, after, -math.inf)
        before = (0,) * len(before)
    return _MAX[x.dim()](x, kernel_sizes, strides, before, 1, ceil_mode)


@operation("avg_pool")
def avg_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    exclude_padding_from_average: bool = False,
    strides: Ints | None = None,
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The mean of each window, padding counted as zeros or not at all.

    Raises:
        Unsupported: `pad_type` is none of the documented ones, or a padding does not go with
            `ceil_mode`.
    """
    strides, before, after = _placed("avg_pool", x, kernel_sizes, strides, pad_type, pad)
    pool = _AVERAGE[x.dim()]
    if _kernel_pads(before, after, kernel_sizes):
        counted = not exclude_padding_from_average
        return pool(x, kernel_sizes, strides, before, ceil_mode, counted)
    _need_floor("avg_pool", ceil_mode)
    mean = pool(padding.extended(x, before, after), kernel_sizes, strides)
    if not exclude_padding_from_average:
        return mean
    ones = torch.ones((1, 1, *x.shape[2:]))
    return mean / pool(padding.extended(ones, before, after), kernel_sizes, strides)


@operation("l2_pool")
def l2_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The square root of the sum of squares in each window.

    Raises:
        Unsupported: `pad_type` is none of the documented ones, or a padding does not go with
            `ceil_mode`.
    """
    strides, before, after = _placed("l2_pool", x, kernel_sizes, strides, pad_type, pad)
    if not _kernel_pads(before, after, kernel_sizes):
        _need_floor("l2_pool", ceil_mode)
        x, before = padding.extended(x, before, after), (0,) * len(before)
    squares = x * x
    if x.dim() == 3:  # Only pools of two and three axes can divide by something else.
        sums = F.avg_pool2d(
            squares.unsqueeze(2),
            (1, *kernel_sizes),
            (1, *strides),
            (0, *before),
            ceil_mode,
            divisor_override=1,
        ).squeeze(2)
    else:
        pool = _AVERAGE[x.dim()]
        sums = pool(squares, kernel_sizes, strides, before, ceil_mode, divisor_override=1)
    return sums.sqrt_()


def _need_floor(name: str, ceil_mode: bool) -> None:
    if ceil_mode:
        raise Unsupported(
            f"{name}: ceil_mode with a padding of more than half a kernel, or of two different halves"
        )
