"""Element by element: formulas of the documentation, written down in numpy."""

from __future__ import annotations

import math

import numpy as np

from ..case import Array, Case, f32, floats, i32

X = floats(2, 3, 4)
POSITIVE = floats(2, 3, low=0.1, high=3.0)
UNIT = floats(2, 3, low=-0.95, high=0.95)
HALVES = f32([-2.5, -1.5, -0.5, -0.2, 0.0, 0.5, 1.5, 2.5, 2.6])
WHOLE = i32([-7, -3, -1, 0, 2, 7])
EDGE = f32([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 6.0, 9.0])


def erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf)(x.astype(np.float64)))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


_UNARY = {
    "abs": (X, np.abs(X)),
    "acos": (UNIT, np.arccos(UNIT)),
    "asin": (UNIT, np.arcsin(UNIT)),
    "atan": (X, np.arctan(X)),
    "atanh": (UNIT, np.arctanh(UNIT)),
    "ceil": (HALVES, np.ceil(HALVES)),
    "cos": (X, np.cos(X)),
    "cosh": (X, np.cosh(X)),
    "erf": (X, erf(X)),
    "exp": (X, np.exp(X)),
    "exp2": (X, 2.0**X),
    "floor": (HALVES, np.floor(HALVES)),
    "identity": (X, X),
    "inverse": (f32([0.0, 0.5, -2.0]), 1 / (np.array([0.0, 0.5, -2.0]) + 1e-4)),
    "log": (f32([0.0, 2.0]), np.log(np.array([f32(1e-45), 2.0], np.float64))),
    "logical_not": (np.array([True, False]), np.array([False, True])),
    "relu": (EDGE, f32([0, 0, 0, 0, 0.5, 1, 6, 9])),
    "relu6": (EDGE, f32([0, 0, 0, 0, 0.5, 1, 6, 6])),
    "round": (HALVES, f32([-2, -2, 0, 0, 0, 0, 2, 2, 3])),
    "rsqrt": (f32([0.0, 1e-12, 4.0]), np.array([1e6, 1e6 / math.sqrt(2), 0.5])),
    "sigmoid": (X, sigmoid(X)),
    "sign": (EDGE, f32([-1, -1, -1, 0, 1, 1, 1, 1])),
    "silu": (X, X * sigmoid(X)),
    "sin": (X, np.sin(X)),
    "sinh": (X, np.sinh(X)),
    "softplus": (f32([-30, -1, 0, 2, 40]), np.log1p(np.exp(np.array([-30.0, -1, 0, 2, 40])))),
    "softsign": (X, X / (1 + np.abs(X))),
    "sqrt": (POSITIVE, np.sqrt(POSITIVE)),
    "square": (X, X * X),
    "tan": (X / 2, np.tan(X / 2)),
    "tanh": (X, np.tanh(X)),
}

_ROW = floats(4)
_COLUMN = floats(3, 1) + f32(0.25)
_BASE = floats(2, 3, low=0.2, high=2.0)
_BINARY = [
    ("add", X, _ROW, X + _ROW),
    ("sub", X, _COLUMN, X - _COLUMN),
    ("mul", X, _ROW, X * _ROW),
    ("real_div", X, _COLUMN, X / _COLUMN),
    ("maximum", X, _ROW, np.where(X > _ROW, X, _ROW)),
    ("minimum", X, _ROW, np.where(X > _ROW, _ROW, X)),
    ("pow", _BASE, f32([-1.5, 0.0, 2.5]), _BASE ** f32([-1.5, 0.0, 2.5])),
    ("equal", EDGE, f32(0.5), EDGE == 0.5),
    ("not_equal", EDGE, f32(0.5), EDGE != 0.5),
    ("greater", EDGE, f32(0.5), EDGE > 0.5),
    ("greater_equal", EDGE, f32(0.5), EDGE >= 0.5),
    ("less", EDGE, f32(0.5), EDGE < 0.5),
    ("less_equal", EDGE, f32(0.5), EDGE <= 0.5),
    # Towards negative infinity, whatever the signs are; the remainder has the divisor's.
    ("floor_div", WHOLE, i32(3), i32([-3, -1, -1, 0, 0, 2])),
    ("floor_div", WHOLE, i32(-3), i32([2, 1, 0, 0, -1, -3])),
    ("floor_div", f32([-7, 7]), f32(2), f32([-4, 3])),
    ("mod", WHOLE, i32(3), i32([2, 0, 2, 0, 2, 1])),
    ("mod", WHOLE, i32(-3), i32([-1, 0, -1, 0, -1, -2])),
    ("mod", f32([-7.5, 7.5]), f32(2), f32([0.5, 1.5])),
    ("add", WHOLE, i32(3), WHOLE + 3),
    ("sub", WHOLE, i32(3), WHOLE - 3),
    ("mul", WHOLE, i32(3), WHOLE * 3),
    ("maximum", WHOLE, i32(0), i32([0, 0, 0, 0, 2, 7])),
    ("pow", WHOLE, i32(2), WHOLE * WHOLE),
    ("equal", WHOLE, i32(2), WHOLE == 2),
    ("real_div", i32([-6, 9]), i32(3), i32([-2, 3])),
    ("real_div", i32([10, 20, 60]), i32([11, 12, 16]), i32([0, 1, 3])),
    ("real_div", i32([-7, 3]), i32([2, 1]), "Unsupported"),
]

_FOUR = np.array([True, True, False, False]), np.array([True, False, True, False])
_IMAGE = floats(2, 3, 4, 2)
_SLOPES = f32([0.1, 0.5, -1.0])
_RATES = f32([0.5, 2.0, 1.0])


def _by_channel(values: Array) -> Array:
    return values.reshape(1, 3, 1, 1)


CASES = [
    *(Case(name, {"x": x}, expected) for name, (x, expected) in _UNARY.items()),
    *(Case(name, {"x": x, "y": y}, expected) for name, x, y, expected in _BINARY),
    Case("abs", {"x": WHOLE}, np.abs(WHOLE)),
    Case("sign", {"x": WHOLE}, i32([-1, -1, -1, 0, 1, 1])),
    Case("square", {"x": WHOLE}, WHOLE * WHOLE),
    Case("exp2", {"x": i32([0, 3])}, i32([1, 8])),
    Case("logical_and", {"x": _FOUR[0], "y": _FOUR[1]}, np.array([True, False, False, False])),
    Case("logical_or", {"x": _FOUR[0], "y": _FOUR[1]}, np.array([True, True, True, False])),
    Case("logical_xor", {"x": _FOUR[0], "y": _FOUR[1]}, np.array([False, True, True, False])),
    Case(
        "select",
        {"cond": np.array([[True], [False]]), "a": f32([1, 2]), "b": f32([[3, 4], [5, 6]])},
        f32([[1, 2], [5, 6]]),
    ),
    Case("inverse", {"x": POSITIVE, "epsilon": 0.5}, 1 / (POSITIVE + 0.5)),
    Case("log", {"x": POSITIVE, "epsilon": 0.5}, np.log(POSITIVE + 0.5)),
    Case("rsqrt", {"x": POSITIVE, "epsilon": 0.5}, 1 / np.sqrt(POSITIVE + 0.5)),
    Case("clip", {"x": EDGE, "alpha": -0.75, "beta": 2.0}, np.minimum(np.maximum(EDGE, -0.75), 2)),
    Case("threshold", {"x": EDGE, "alpha": f32(0.75)}, np.maximum(EDGE, f32(0.75))),
    Case("threshold", {"x": WHOLE, "alpha": i32(1)}, np.maximum(WHOLE, 1)),
    Case(
        "clamped_relu",
        {"x": EDGE, "alpha": 0.5, "beta": 5.0},
        np.where(EDGE >= 0, np.minimum(5, EDGE), np.minimum(5, 0.5 * EDGE)),
    ),
    Case(
        "clamped_relu",
        {"x": EDGE, "alpha": -4.0, "beta": 5.0},
        np.where(EDGE >= 0, np.minimum(5, EDGE), np.minimum(5, -4 * EDGE)),
    ),
    Case("elu", {"x": X, "alpha": 0.7}, np.where(X > 0, X, 0.7 * (np.exp(X) - 1))),
    Case("gelu", {"x": X}, 0.5 * X * (1 + erf(X / math.sqrt(2)))),
    Case("gelu", {"x": X, "mode": "EXACT"}, 0.5 * X * (1 + erf(X / math.sqrt(2)))),
    Case(
        "gelu",
        {"x": X, "mode": "TANH_APPROXIMATION"},
        0.5 * X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3))),
    ),
    Case("gelu", {"x": X, "mode": "SIGMOID_APPROXIMATION"}, X * sigmoid(1.702 * X)),
    Case("gelu", {"x": X, "mode": "QUICK"}, "Unsupported"),
    Case("leaky_relu", {"x": X, "alpha": 0.2}, np.where(X >= 0, X, 0.2 * X)),
    Case("linear_activation", {"x": X, "alpha": 0.3, "beta": -2.0}, 0.3 * X - 2),
    Case(
        "prelu",
        {"x": _IMAGE, "alpha": _SLOPES},
        np.where(_IMAGE > 0, _IMAGE, _by_channel(_SLOPES) * _IMAGE),
    ),
    Case("scaled_tanh", {"x": X, "alpha": 1.7, "beta": 0.6}, 1.7 * np.tanh(0.6 * X)),
    Case(
        "sigmoid_hard",
        {"x": EDGE, "alpha": 0.2, "beta": 0.4},
        np.minimum(np.maximum(0.2 * EDGE + 0.4, 0), 1),
    ),
    Case("softmax", {"x": X}, softmax(X, -1)),
    Case("softmax", {"x": X, "axis": 1}, softmax(X, 1)),
    Case(
        "softplus_parametric",
        {"x": _IMAGE, "alpha": _SLOPES, "beta": _RATES},
        _by_channel(_SLOPES) * np.log(1 + np.exp(_by_channel(_RATES) * _IMAGE)),
    ),
    # The threshold itself stays.
    Case(
        "thresholded_relu",
        {"x": f32([0.1, 0.3, np.nextafter(f32(0.3), f32(0)), 2]), "alpha": float(f32(0.3))},
        f32([0, 0.3, 0, 2]),
    ),
    Case("cast", {"x": f32([-1.9, 1.9, 0.0]), "dtype": "int32"}, i32([-1, 1, 0])),
    Case(
        "cast",
        {"x": f32([3e9, -3e9, math.inf, math.nan]), "dtype": "int32"},
        i32([2**31 - 1, -(2**31), 2**31 - 1, 0]),
    ),
    Case("cast", {"x": f32([-200.7, 200.7]), "dtype": "int8"}, np.array([-128, 127], np.int8)),
    Case("cast", {"x": f32([-2, 300, 7.9]), "dtype": "uint8"}, np.array([0, 255, 7], np.uint8)),
    Case(
        "cast", {"x": f32([-4e4, 4e4]), "dtype": "int16"}, np.array([-(2**15), 2**15 - 1], np.int16)
    ),
    Case("cast", {"x": f32([-1, 70000, 40000]), "dtype": "uint16"}, i32([0, 65535, 40000])),
    Case("cast", {"x": i32([300, -1]), "dtype": "uint8"}, np.array([44, 255], np.uint8)),
    Case("cast", {"x": i32([65537, -1]), "dtype": "uint16"}, i32([1, 65535])),
    Case("cast", {"x": i32([-1]), "dtype": "uint32"}, np.array([2**32 - 1])),
    Case("cast", {"x": i32([-3, 7]), "dtype": "fp16"}, f32([-3, 7])),
    Case("cast", {"x": np.array([True, False]), "dtype": "fp32"}, f32([1, 0])),
    Case("cast", {"x": np.array([True, False]), "dtype": "int32"}, i32([1, 0])),
    Case("cast", {"x": f32([0.0, -0.5]), "dtype": "bool"}, np.array([False, True])),
    Case("cast", {"x": X, "dtype": "fp64"}, "Unsupported"),
]
