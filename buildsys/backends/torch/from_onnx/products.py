"""Matrix products and convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .pooling import padding_of, widened
from .table import Call, Unsupported, operator

CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


@operator("MatMul")
def _matmul(call: Call, a: Any, b: Any) -> Any:
    return torch.matmul(a, b)


@operator("Gemm")
def _gemm(call: Call, a: Any, b: Any, c: Any = None) -> Any:
    a = a.transpose(0, 1) if call.get("transA", 0) else a
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    plain = bool(call.get("transB", 0)) and alpha == beta == 1.0
    if plain and (c is None or tuple(c.shape) == (b.shape[0],)):
        return functional.linear(a, b, c)
    found = torch.matmul(a, b.transpose(0, 1) if call.get("transB", 0) else b)
    found = found if alpha == 1.0 else found * alpha
    if c is None:
        return found
    return found + (c if beta == 1.0 else c * beta)


@operator("Einsum")
def _einsum(call: Call, *tensors: Any) -> Any:
    return torch.einsum(call.text("equation", ""), *tensors)


@operator("Conv")
def _conv(call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    spatial = x.dim() - 2
    if not 1 <= spatial <= 3:
        raise Unsupported(f"`Conv` with {spatial} spatial axes has no counterpart in torch")
    strides = call.get("strides") or [1] * spatial
    dilations = call.get("dilations") or [1] * spatial
    pads = padding_of(call, x.shape[2:], weight.shape[2:], strides, dilations)
    x, even = widened(x, pads, 0.0)
    return CONVOLUTIONS[spatial - 1](
        x, weight, bias, strides, even, dilations, call.get("group", 1)
    )


@operator("ConvTranspose")
def _conv_transpose(call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    spatial = x.dim() - 2
    if not 1 <= spatial <= 3:
        raise Unsupported(
            f"`ConvTranspose` with {spatial} spatial axes has no counterpart in torch"
        )
    strides = call.get("strides") or [1] * spatial
    dilations = call.get("dilations") or [1] * spatial
    extra = call.get("output_padding") or [0] * spatial
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, weight.shape[2:], strict=True)]
    full = [s * (n - 1) + r for s, n, r in zip(strides, x.shape[2:], reach, strict=True)]
    begins, ends = _cut(call, full, extra, x.shape[2:], strides)
    run = TRANSPOSED[spatial - 1]
    if begins == ends and all(pad >= 0 for pad in begins):
        return run(x, weight, bias, strides, begins, extra, call.get("group", 1), dilations)
    # Borders that differ are cut off the whole result; beyond it there is the bias alone.
    whole = run(x, weight, bias, strides, 0, 0, call.get("group", 1), dilations)
    for axis, (begin, end, more) in enumerate(zip(begins, ends, extra, strict=True), start=2):
        if end - more < 0:
            raise Unsupported(
                "`ConvTranspose` with padding beyond its result has no counterpart here"
            )
        whole = whole.narrow(axis, begin, whole.shape[axis] - begin - (end - more))
    return whole


def _cut(
    call: Call, full: list[int], extra: list[int], sizes: Any, strides: list[int]
) -> tuple[list[int], list[int]]:
    """What is taken off at the begin and the end of each axis, `output_padding` not counted."""
    spatial = len(full)
    how = call.text("auto_pad", "NOTSET")
    wanted = call.get("output_shape")
    if wanted is None and how in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is None:
        pads = (call.get("pads") if how == "NOTSET" else None) or [0] * (2 * spatial)
        return list(pads[:spatial]), list(pads[spatial:])
    total = [f + e - w for f, e, w in zip(full, extra, wanted[-spatial:], strict=True)]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return (less, more) if how == "SAME_UPPER" else (more, less)
