"""Operators that sum up axes, and such as normalize along them."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .table import Call, Unsupported, operator

REDUCED = {
    "ReduceL1": lambda x, axes, kept: x.abs().sum(axes, keepdim=kept),
    "ReduceL2": lambda x, axes, kept: torch.sqrt((x * x).sum(axes, keepdim=kept)),
    "ReduceLogSum": lambda x, axes, kept: torch.log(x.sum(axes, keepdim=kept)),
    "ReduceLogSumExp": lambda x, axes, kept: torch.logsumexp(x, axes, kept),
    "ReduceMax": lambda x, axes, kept: torch.amax(x, axes, kept),
    "ReduceMean": lambda x, axes, kept: x.mean(axes, keepdim=kept),
    "ReduceMin": lambda x, axes, kept: torch.amin(x, axes, kept),
    "ReduceSum": lambda x, axes, kept: x.sum(axes, keepdim=kept, dtype=x.dtype),
    "ReduceSumSquare": lambda x, axes, kept: (x * x).sum(axes, keepdim=kept),
}


def _axes(call: Call, x: Any) -> list[int] | None:
    """The axes to sum up; `None` where there are none to sum up at all."""
    axes = call.list(1, "axes")
    if axes:
        return [axis % x.dim() for axis in axes]
    return None if call.get("noop_with_empty_axes", 0) else list(range(x.dim()))


@operator(*REDUCED, static=(1,))
def _reduce(call: Call, x: Any, axes: Any = None) -> Any:
    along = _axes(call, x)
    if along is None:
        return x
    return REDUCED[call.kind](x, along, bool(call.get("keepdims", 1)))


@operator("ReduceProd", static=(1,))
def _reduce_prod(call: Call, x: Any, axes: Any = None) -> Any:
    for axis in sorted(_axes(call, x) or [], reverse=True):
        x = torch.prod(x, axis, keepdim=bool(call.get("keepdims", 1)))
    return x


@operator("Softmax", "LogSoftmax", "Hardmax")
def _softmax(call: Call, x: Any) -> Any:
    axis = call.get("axis", -1 if call.opset >= 13 else 1)
    shape = x.shape
    if call.opset < 13:
        # All axes from this one on were one.
        axis = axis % x.dim() if x.dim() else 0
        x = x.reshape([*shape[:axis], -1])
        axis = -1
    if call.kind == "Hardmax":
        best = torch.argmax(x, axis, keepdim=True)
        found = torch.zeros_like(x).scatter(axis, best, 1.0)
    else:
        compute = functional.softmax if call.kind == "Softmax" else functional.log_softmax
        found = compute(x, axis)
    return found.reshape(shape)


@operator("LpNormalization")
def _lp_normalization(call: Call, x: Any) -> Any:
    return x / torch.linalg.vector_norm(x, call.get("p", 2), call.get("axis", -1), keepdim=True)


@operator("LayerNormalization")
def _layer_normalization(call: Call, x: Any, scale: Any, bias: Any = None) -> Any:
    axis, epsilon = call.get("axis", -1), call.get("epsilon", 1e-5)
    found = functional.layer_norm(x, x.shape[axis:], None, None, epsilon) * scale
    found = found if bias is None else found + bias
    if call.outputs == 1:
        return found
    axes = list(range(axis % x.dim(), x.dim()))
    mean = x.mean(axes, keepdim=True)
    return found, mean, torch.rsqrt(((x - mean) ** 2).mean(axes, keepdim=True) + epsilon)


@operator("RMSNormalization")
def _rms_normalization(call: Call, x: Any, scale: Any) -> Any:
    axes = list(range(call.get("axis", -1) % x.dim(), x.dim()))
    mean = (x * x).mean(axes, keepdim=True)
    return x * torch.rsqrt(mean + call.get("epsilon", 1e-5)) * scale


@operator("InstanceNormalization")
def _instance_normalization(call: Call, x: Any, scale: Any, bias: Any) -> Any:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=call.get("epsilon", 1e-5))


@operator("GroupNormalization")
def _group_normalization(call: Call, x: Any, scale: Any, bias: Any) -> Any:
    groups = call.get("num_groups")
    if call.opset < 21:  # One number a group then, one a channel since.
        each = x.shape[1] // groups
        scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return functional.group_norm(x, groups, scale, bias, call.get("epsilon", 1e-5))


@operator("MeanVarianceNormalization")
def _mean_variance_normalization(call: Call, x: Any) -> Any:
    axes = call.get("axes") or [0, 2, 3]
    mean = x.mean(axes, keepdim=True)
    # As ONNX's own function has it.
    deviation = torch.sqrt((x * x).mean(axes, keepdim=True) - mean * mean)
    return (x - mean) / (deviation + 1e-9)


@operator("BatchNormalization")
def _batch_normalization(
    call: Call, x: Any, scale: Any, bias: Any, mean: Any, variance: Any
) -> Any:
    if call.get("training_mode", 0):
        raise Unsupported("`BatchNormalization` with `training_mode` has no counterpart here")
    return functional.batch_norm(
        x, mean, variance, scale, bias, False, 0.0, call.get("epsilon", 1e-5)
    )


@operator("LRN")
def _lrn(call: Call, x: Any) -> Any:
    size = call.get("size")
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    squares = functional.pad((x * x).reshape(x.shape[0], x.shape[1], -1), [0, 0, before, after])
    summed = squares.unfold(1, size, 1).sum(-1).reshape(x.shape)
    base = call.get("bias", 1.0) + call.get("alpha", 1e-4) / size * summed
    return x / torch.pow(base, call.get("beta", 0.75))
