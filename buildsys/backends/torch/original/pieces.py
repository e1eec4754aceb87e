"""What lies within operators that other formats spell out: the terms of a norm, of a softmax.

A converter writes a layer norm as nine operations, and an epsilon that is wrong in the fifth could be
located no nearer than "somewhere in the norm" without the values in between. They are computed again
from the operator's inputs, for comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

Piece = tuple[str, torch.Tensor]


def of(
    operator: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Sequence[torch.Tensor]
) -> Iterator[Piece]:
    """The values within one call, by name.

    Args:
        operator: For example `aten::native_layer_norm`.
        args: What it was given, by position.
        kwargs: And by name.
        given: What it gave.
    """
    spelled = _SPELLED.get(operator)
    if spelled is None or not given or not given[0].is_floating_point():
        return
    try:
        yield from spelled(args, kwargs, given)
    except (IndexError, TypeError, RuntimeError):
        return  # Called in a way that is not spelled out here: the operator stays one step.


def _layer_norm(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    x, shape, weight, _bias, epsilon = args[:5]
    axes = tuple(range(x.dim() - len(shape), x.dim()))
    yield from _normalized(x, axes, epsilon)
    if weight is not None:
        mean = x.mean(axes, keepdim=True)
        variance = (x - mean).square().mean(axes, keepdim=True)
        yield "scaled", (x - mean) * torch.rsqrt(variance + epsilon) * weight


def _group_norm(args: Sequence[Any], _: Mapping[str, Any], given: Any) -> Iterator[Piece]:
    x, groups, epsilon = args[0], int(args[6]), args[7]
    grouped = x.reshape(x.shape[0], groups, -1)
    yield from _normalized(grouped, (-1,), epsilon)


def _normalized(x: torch.Tensor, axes: tuple[int, ...], epsilon: float) -> Iterator[Piece]:
    mean = x.mean(axes, keepdim=True)
    centered = x - mean
    squares = centered.square()
    variance = squares.mean(axes, keepdim=True)
    yield "mean", mean
    yield "centered", centered
    yield "squares", squares
    yield "variance", variance
    yield "variance+eps", variance + epsilon
    yield "deviation", torch.sqrt(variance + epsilon)
    yield "rsqrt", torch.rsqrt(variance + epsilon)
    yield "normalized", centered * torch.rsqrt(variance + epsilon)


def _batch_norm(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    x, weight, _bias, mean, variance = args[:5]
    epsilon = args[-1]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    centered = x - mean.view(shape)
    scale = torch.rsqrt(variance + epsilon).view(shape)
    yield "centered", centered
    yield "normalized", centered * scale
    if weight is not None:
        yield "scaled", centered * scale * weight.view(shape)
        yield "multiplied", x * scale * weight.view(shape)


def _softmax(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    x, axis = args[:2]
    shifted = x - x.amax(axis, keepdim=True)
    yield "shifted", shifted
    yield "exp", shifted.exp()
    yield "sum", shifted.exp().sum(axis, keepdim=True)


def _addmm(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    yield "product", args[1] @ args[2]


def _convolution(args: Sequence[Any], _: Mapping[str, Any], given: Any) -> Iterator[Piece]:
    bias = args[2]
    if bias is not None:
        yield "without bias", given[0] - bias.view([1, -1, *[1] * (given[0].dim() - 2)])


def _gelu(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> Iterator[Piece]:
    x = args[0]
    if kwargs.get("approximate", "none") == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        yield "cube", x**3
        yield "inner", inner
        yield "tanh", torch.tanh(inner)
        yield "1+tanh", 1 + torch.tanh(inner)
        return
    yield "divided", x / math.sqrt(2)
    yield "erf", torch.erf(x / math.sqrt(2))
    yield "1+erf", 1 + torch.erf(x / math.sqrt(2))
    yield "doubled", x * (1 + torch.erf(x / math.sqrt(2)))


def _silu(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    yield "sigmoid", torch.sigmoid(args[0])


def _hardswish(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    x = args[0]
    yield "shifted", x + 3
    yield "clipped", (x + 3).clamp(0, 6)
    yield "hardsigmoid", (x + 3).clamp(0, 6) / 6
    yield "product", x * (x + 3).clamp(0, 6)


def _attention(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> Iterator[Piece]:
    query, key = args[0], args[1]
    scale = kwargs.get("scale") or 1 / math.sqrt(query.shape[-1])
    root = math.sqrt(scale)
    products = query @ key.transpose(-2, -1)
    mask = kwargs.get("attn_mask")
    causal = bool(args[4]) if len(args) > 4 else bool(kwargs.get("is_causal", False))
    yield "query, scaled", query * scale
    yield "query, scaled by the root", query * root
    yield "key, scaled by the root", key * root
    yield "products", products
    scores = products * scale
    yield "scores", scores
    if causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if mask is not None:
        scores = scores + mask
        yield "masked", scores
    yield "weights", torch.softmax(scores, -1)


def _roll(args: Sequence[Any], _: Mapping[str, Any], __: Any) -> Iterator[Piece]:
    x, shifts, axes = args[0], args[1], args[2] if len(args) > 2 else ()
    for number, (shift, axis) in enumerate(zip(shifts, axes, strict=True)):
        kept = x.shape[axis] - shift % x.shape[axis]
        yield f"tail {number}", x.narrow(axis, kept, x.shape[axis] - kept)
        yield f"head {number}", x.narrow(axis, 0, kept)
        x = x.roll(shift, axis)


def _deviation(root: bool) -> Callable[..., Iterator[Piece]]:
    def spelled(args: Sequence[Any], kwargs: Mapping[str, Any], given: Any) -> Iterator[Piece]:
        x = args[0]
        axes = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else None
        every = tuple(axes) if axes else tuple(range(x.dim()))
        mean = x.mean(every, keepdim=True)
        yield "mean", mean
        yield "centered", x - mean
        yield "squares", (x - mean).square()
        if root:
            yield "variance", given[0].square()

    return spelled


_SPELLED: dict[str, Callable[[Sequence[Any], Mapping[str, Any], Any], Iterator[Piece]]] = {
    "aten::native_layer_norm": _layer_norm,
    "aten::native_group_norm": _group_norm,
    "aten::native_batch_norm": _batch_norm,
    "aten::_native_batch_norm_legit_no_training": _batch_norm,
    "aten::_softmax": _softmax,
    "aten::addmm": _addmm,
    "aten::convolution": _convolution,
    "aten::_convolution": _convolution,
    "aten::gelu": _gelu,
    "aten::silu": _silu,
    "aten::hardswish": _hardswish,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_attention_math": _attention,
    "aten::roll": _roll,
    "aten::std": _deviation(True),
    "aten::var": _deviation(False),
}
