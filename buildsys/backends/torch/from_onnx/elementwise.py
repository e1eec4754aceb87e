"""Operators on each element: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch.nn import functional

from .table import Call, dtype_of, operator, simple

simple(
    {
        "Abs": torch.abs,
        "Acos": torch.acos,
        "Acosh": torch.acosh,
        "Asin": torch.asin,
        "Asinh": torch.asinh,
        "Atan": torch.atan,
        "Atanh": torch.atanh,
        "BitwiseAnd": torch.bitwise_and,
        "BitwiseNot": torch.bitwise_not,
        "BitwiseOr": torch.bitwise_or,
        "BitwiseXor": torch.bitwise_xor,
        "Ceil": torch.ceil,
        "Cos": torch.cos,
        "Cosh": torch.cosh,
        "Erf": torch.erf,
        "Exp": torch.exp,
        "Floor": torch.floor,
        "GreaterOrEqual": torch.ge,
        "HardSwish": functional.hardswish,
        "Identity": lambda x: x,
        "IsNaN": torch.isnan,
        "LessOrEqual": torch.le,
        "Log": torch.log,
        "Mish": functional.mish,
        "Neg": torch.neg,
        "Not": torch.logical_not,
        "Reciprocal": torch.reciprocal,
        "Relu": torch.relu,
        "Round": torch.round,
        "Sigmoid": torch.sigmoid,
        "Sign": torch.sign,
        "Sin": torch.sin,
        "Sinh": torch.sinh,
        "Softplus": functional.softplus,
        "Softsign": functional.softsign,
        "Sqrt": torch.sqrt,
        "Tan": torch.tan,
        "Tanh": torch.tanh,
        "Where": torch.where,
    }
)

BINARY = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "Less": torch.lt,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}
MANY = {"Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add}


@operator(*BINARY)
def _binary(call: Call, a: Any, b: Any) -> Any:
    return BINARY[call.kind](a, _placed(call, a, b))


def _placed(call: Call, a: Any, b: Any) -> Any:
    """Before operator set 7, the second argument was laid along the axes from `axis` on."""
    axis = call.get("axis")
    if axis is None or call.opset >= 7:
        return b
    axis = axis % a.dim()
    return b.reshape(*b.shape, *[1] * (a.dim() - axis - b.dim()))


@operator("Div")
def _div(call: Call, a: Any, b: Any) -> Any:
    b = _placed(call, a, b)
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@operator("Mod")
def _mod(call: Call, a: Any, b: Any) -> Any:
    return torch.fmod(a, b) if call.get("fmod", 0) else torch.remainder(a, b)


@operator("Pow")
def _pow(call: Call, a: Any, b: Any) -> Any:
    return torch.pow(a, _placed(call, a, b)).to(a.dtype)


@operator(*MANY)
def _many(call: Call, *tensors: Any) -> Any:
    return reduce(MANY[call.kind], tensors)


@operator("Mean")
def _mean(call: Call, *tensors: Any) -> Any:
    return reduce(torch.add, tensors) / len(tensors)


@operator("Cast")
def _cast(call: Call, x: Any) -> Any:
    return x.to(dtype_of(call.get("to")))


@operator("CastLike")
def _cast_like(call: Call, x: Any, like: Any) -> Any:
    return x.to(like.dtype)


@operator("Clip")
def _clip(call: Call, x: Any, least: Any = None, most: Any = None) -> Any:
    if call.opset < 11:
        return torch.clamp(x, call.get("min"), call.get("max")) if call.attributes else x
    if least is not None:
        x = torch.maximum(x, least)
    return x if most is None else torch.minimum(x, most)


@operator("LeakyRelu")
def _leaky_relu(call: Call, x: Any) -> Any:
    return functional.leaky_relu(x, call.get("alpha", 0.01))


@operator("PRelu")
def _prelu(call: Call, x: Any, slope: Any) -> Any:
    if call.opset < 7 and slope.dim() == 1:  # A number a channel then.
        slope = slope.reshape(-1, *[1] * (x.dim() - 2))
    return torch.where(x < 0, x * slope, x)


@operator("Elu")
def _elu(call: Call, x: Any) -> Any:
    return functional.elu(x, call.get("alpha", 1.0))


@operator("Celu")
def _celu(call: Call, x: Any) -> Any:
    return functional.celu(x, call.get("alpha", 1.0))


@operator("Selu")
def _selu(call: Call, x: Any) -> Any:
    alpha = call.get("alpha", 1.67326319217681884765625)
    below = alpha * (torch.exp(torch.clamp(x, max=0)) - 1)
    return call.get("gamma", 1.05070102214813232421875) * (torch.clamp(x, min=0) + below)


@operator("ThresholdedRelu")
def _thresholded_relu(call: Call, x: Any) -> Any:
    return torch.where(x > call.get("alpha", 1.0), x, torch.zeros_like(x))


@operator("HardSigmoid")
def _hard_sigmoid(call: Call, x: Any) -> Any:
    return torch.clamp(x * call.get("alpha", 0.2) + call.get("beta", 0.5), 0, 1)


@operator("Gelu")
def _gelu(call: Call, x: Any) -> Any:
    return functional.gelu(x, approximate=call.text("approximate", "none"))


@operator("Swish")
def _swish(call: Call, x: Any) -> Any:
    return x * torch.sigmoid(x * call.get("alpha", 1.0))


@operator("Shrink")
def _shrink(call: Call, x: Any) -> Any:
    bias, edge = call.get("bias", 0.0), call.get("lambd", 0.5)
    outer = torch.where(x > edge, x - bias, torch.zeros_like(x))
    return torch.where(x < -edge, x + bias, outer)


@operator("IsInf")
def _is_inf(call: Call, x: Any) -> Any:
    above = torch.isinf(x) & (x > 0) if call.get("detect_positive", 1) else torch.zeros_like(x) > 0
    return above | (torch.isinf(x) & (x < 0)) if call.get("detect_negative", 1) else above


@operator("Dropout")
def _dropout(call: Call, x: Any, ratio: Any = None, training: Any = None) -> Any:
    kept = torch.ones_like(x) > 0
    return x if call.outputs == 1 else (x, kept)
