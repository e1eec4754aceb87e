"""Operators that torch's newer exporter translates wrongly, or not at all (onnxscript 0.7).

- Attention under a mask of booleans: it puts the type's least number where minus infinity belongs. Where all
  of a row is masked, as in padding, attention is then spread evenly, while torch gives zeros
  (`_aten_scaled_dot_product_attention_bool_mask_onnx`).
- Attention of other ranks than 4, as of windows in windows: it refuses them.
- `amax()` and `amin()` over all axes: it asks for axes.
- `clamp` between single numbers that are tensors: it makes `Max` and `Min` of it, and its optimizer makes of
  these a `Clip` whose bounds are named after what is clipped: of three such of one tensor two are lost.
"""

# The exporter evaluates these annotations, so that they are no strings.

import math
from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import opset18 as op
from onnxscript.function_libs.torch_lib.ops import core, nn
from onnxscript.function_libs.torch_lib.tensor_typing import TFloat, TReal, TTensor
from onnxscript.ir import DataType

PLAIN_RANK = 4
"""Batch, heads, places, channels."""
ATTENTION = 23
"""The operator set from which on ONNX has an operator for attention, which the exporter then takes."""


def attended(
    query: TFloat,
    key: TFloat,
    value: TFloat,
    attn_mask: TTensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> TFloat:
    """`torch.nn.functional.scaled_dot_product_attention`, at inference.

    Args:
        query: [..., L, E].
        key: [..., S, E].
        value: [..., S, V].
        attn_mask: Booleans, what may be attended to; or numbers to add. Broadcast to [..., L, S].
        dropout_p: 0, as in a model in `eval()`.
        is_causal: Whether nothing attends to what comes after it.
        scale: Of the products; by default 1 / sqrt(E).
        enable_gqa: Whether several queries share a key.
    """
    truths = attn_mask is not None and attn_mask.dtype == DataType.BOOL
    known = len(query.shape) == PLAIN_RANK and not truths
    if known or dropout_p or enable_gqa or is_causal:
        return nn.aten_scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa
        )
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    axes = list(range(len(key.shape)))
    turned = op.Transpose(key, perm=[*axes[:-2], axes[-1], axes[-2]])
    # Both by the root, as torch does it: a product of large numbers stays in range.
    root = op.CastLike(op.Constant(value_float=math.sqrt(factor)), query)
    products = op.MatMul(op.Mul(query, root), op.Mul(turned, root))
    if not truths:
        added = products if attn_mask is None else op.Add(products, attn_mask)
        return op.MatMul(op.Softmax(added, axis=-1), value)
    least = op.CastLike(op.Constant(value_float=torch.finfo(torch.float32).min), query)
    weights = op.Softmax(op.Where(attn_mask, products, least), axis=-1)
    # No effect but on rows that are masked throughout.
    nothing = op.CastLike(op.Constant(value_float=0.0), query)
    return op.MatMul(op.Where(attn_mask, weights, nothing), value)


def greatest(self: TReal, dim: Sequence[int] = (), keepdim: bool = False) -> TReal:
    """`torch.amax`; without axes over all of them."""
    return op.ReduceMax(self, *_axes(dim), keepdims=keepdim)


def least(self: TReal, dim: Sequence[int] = (), keepdim: bool = False) -> TReal:
    """`torch.amin`; without axes over all of them."""
    return op.ReduceMin(self, *_axes(dim), keepdims=keepdim)


def clipped(self: TReal, min: TReal | None = None, max: TReal | None = None) -> TReal:
    """`torch.clamp` between tensors; where the least is above the most, all is the most, as in ONNX."""
    if any(bound is not None and len(bound.shape) for bound in (min, max)):
        return core.aten_clamp_tensor(self, min, max)
    bounds = [None if bound is None else op.CastLike(bound, self) for bound in (min, max)]
    return op.Clip(self, *bounds)


def _axes(dim: Sequence[int]) -> list[TReal]:
    return [op.Constant(value_ints=list(dim))] if dim else []


def table(opset: int) -> dict[Any, Any]:
    """What the exporter is to take in place of its own, by operator."""
    found: dict[Any, Any] = {
        torch.ops.aten.amax.default: greatest,
        torch.ops.aten.amin.default: least,
        torch.ops.aten.clamp.Tensor: clipped,
    }
    if opset < ATTENTION:
        found[torch.ops.aten.scaled_dot_product_attention.default] = attended
    return found
