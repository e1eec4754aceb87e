"""Pooling, and the padding that it shares with convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from .table import Call, Unsupported, operator

MAXIMUM = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
AVERAGE = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
Pads = tuple[list[int], list[int]]


def padding_of(
    call: Call,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    """The padding at the begin and at the end of each spatial axis, by `pads` or `auto_pad`."""
    spatial = len(sizes)
    how = call.text("auto_pad", "NOTSET")
    if how == "NOTSET":
        pads = call.get("pads") or [0] * (2 * spatial)
        return list(pads[:spatial]), list(pads[spatial:])
    if how == "VALID":
        return [0] * spatial, [0] * spatial
    total = [
        max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return (less, more) if how == "SAME_UPPER" else (more, less)


def widened(
    x: Any, pads: Pads, value: float, kernel: Sequence[int] | None = None
) -> tuple[Any, list[int]]:
    """Pads what torch does not pad by itself; gives the tensor and the padding that is left to do.

    Torch pads both ends alike, and in front of a pool by half of its `kernel` at most.
    """
    begins, ends = pads
    fits = kernel is None or all(2 * b <= k for b, k in zip(begins, kernel, strict=True))
    if begins == ends and fits:
        return x, begins
    flat = [number for pair in reversed(list(zip(begins, ends, strict=True))) for number in pair]
    return functional.pad(x, flat, value=value), [0] * len(begins)


def _settings(call: Call, x: Any) -> tuple[list[int], list[int], list[int], Pads]:
    spatial = x.dim() - 2
    if not 1 <= spatial <= 3:
        raise Unsupported(f"`{call.kind}` with {spatial} spatial axes has no counterpart in torch")
    kernel = list(call.get("kernel_shape"))
    strides = list(call.get("strides") or [1] * spatial)
    dilations = list(call.get("dilations") or [1] * spatial)
    pads = padding_of(call, x.shape[2:], kernel, strides, dilations)
    if call.get("ceil_mode", 0):
        pads = pads[0], _reached(x.shape[2:], kernel, strides, dilations, pads)
    return kernel, strides, dilations, pads


def _reached(
    sizes: Sequence[int], kernel: list[int], strides: list[int], dilations: list[int], pads: Pads
) -> list[int]:
    """The padding at the end with which all windows of `ceil_mode` are whole."""
    found = []
    for n, k, s, d, begin, end in zip(sizes, kernel, strides, dilations, *pads, strict=True):
        reach = d * (k - 1) + 1
        windows = -(-(n + begin + end - reach) // s) + 1
        if (windows - 1) * s >= n + begin:  # The last one would begin in the padding.
            windows -= 1
        found.append(max(end, (windows - 1) * s + reach - n - begin))
    return found


@operator("MaxPool")
def _max_pool(call: Call, x: Any) -> Any:
    if call.outputs > 1:
        raise Unsupported("`MaxPool` with indices as an output has no counterpart here")
    kernel, strides, dilations, pads = _settings(call, x)
    least = -torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    x, even = widened(x, pads, least, kernel)
    return MAXIMUM[x.dim() - 3](x, kernel, strides, even, dilations)


@operator("AveragePool")
def _average_pool(call: Call, x: Any) -> Any:
    kernel, strides, dilations, pads = _settings(call, x)
    if any(each != 1 for each in dilations):
        raise Unsupported("`AveragePool` with dilations has no counterpart in torch")
    counted = bool(call.get("count_include_pad", 0))
    pool = AVERAGE[x.dim() - 3]
    if not any((*pads[0], *pads[1])):
        return pool(x, kernel, strides)
    halves = all(2 * pad <= k for pad, k in zip(pads[0], kernel, strict=True))
    if pads[0] == pads[1] and halves and not call.get("ceil_mode", 0):
        return pool(x, kernel, strides, pads[0], count_include_pad=counted)
    if counted and call.get("ceil_mode", 0):
        raise Unsupported(
            "`AveragePool` with `ceil_mode` and counted padding has no counterpart here"
        )
    summed, _ = widened(x, pads, 0.0, kernel)
    found = pool(summed, kernel, strides)
    if counted:
        return found
    # What is padded counts for nothing: divided by the part of each window that is not.
    ones, _ = widened(torch.ones([1, 1, *x.shape[2:]], dtype=x.dtype), pads, 0.0, kernel)
    return found / pool(ones, kernel, strides)


@operator("GlobalAveragePool")
def _global_average_pool(call: Call, x: Any) -> Any:
    return x.mean(list(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool")
def _global_max_pool(call: Call, x: Any) -> Any:
    return torch.amax(x, list(range(2, x.dim())), keepdim=True)


@operator("GlobalLpPool")
def _global_lp_pool(call: Call, x: Any) -> Any:
    return torch.linalg.vector_norm(x, call.get("p", 2), list(range(2, x.dim())), keepdim=True)
