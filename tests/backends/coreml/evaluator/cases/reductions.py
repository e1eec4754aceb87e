"""Reductions, normalizations, running sums and order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..case import Array, Case, f32, floats, i32

X = floats(2, 3, 4, low=0.2, high=2.0)
WHOLE = i32([[1, 5, 3], [4, 4, 6]])
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_sum": np.sum,
    "reduce_mean": np.mean,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_l1_norm": lambda x, axis, keepdims: np.sum(np.abs(x), axis, keepdims=keepdims),
    "reduce_l2_norm": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis, keepdims=keepdims)),
    "reduce_log_sum": lambda x, axis, keepdims: np.log(np.sum(x, axis, keepdims=keepdims)),
    "reduce_log_sum_exp": lambda x, axis, keepdims: np.log(
        np.sum(np.exp(x), axis, keepdims=keepdims)
    ),
    "reduce_sum_square": lambda x, axis, keepdims: np.sum(x * x, axis, keepdims=keepdims),
}


def _reductions() -> list[Case]:
    cases = []
    for name, function in _REDUCTIONS.items():
        x = -X if name in ("reduce_l1_norm", "reduce_max") else X
        for axes, keep in ((None, False), ((1,), False), ((-1, 0), True)):
            given: dict[str, Any] = {"x": x}
            if axes is not None:
                given |= {"axes": axes, "keep_dims": keep}
            cases.append(Case(name, given, np.asarray(function(x, axis=axes, keepdims=keep))))
        whole = function(WHOLE, axis=(1,), keepdims=False)
        cases.append(Case(name, {"x": WHOLE, "axes": (1,)}, whole.astype(np.int32)))
    return cases


def _moments(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    wide = x.astype(np.float64)
    mean = wide.mean(axis=axes, keepdims=True)
    variance = ((wide - mean) ** 2).mean(axis=axes, keepdims=True)
    return np.asarray((wide - mean) / np.sqrt(variance + epsilon))


IMAGE = floats(2, 3, 4, 5)
SEQUENCE = floats(2, 3, 6)
MEAN, VARIANCE = floats(3), floats(3, low=0.5, high=2.0)
GAMMA, BETA = floats(3), floats(3)


def _channels(values: Array, rank: int = 4) -> Array:
    return values.reshape(1, 3, *(1,) * (rank - 2))


def _batch_norm(variance: Array, epsilon: float) -> Array:
    spread = np.sqrt(_channels(variance).astype(np.float64) + epsilon)
    return np.asarray((IMAGE - _channels(MEAN)) / spread)


def _l2_norm(x: Array, epsilon: float) -> Array:
    squares = (x.astype(np.float64) ** 2).sum((-3, -2, -1), keepdims=True)
    return np.asarray(x / np.sqrt(squares + epsilon))


def _local(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    y = np.empty(x.shape)
    for channel in range(x.shape[1]):
        first = channel - size // 2
        near = x[:, max(0, first) : first + size].astype(np.float64)
        y[:, channel] = x[:, channel] / (k + alpha / size * (near**2).sum(1)) ** beta
    return y


_MANY = floats(2, 6, 3, 2)
_G2, _B2 = floats(4, 5), floats(4, 5)
_G13, _B13 = floats(3, 5), floats(3, 5)
# So little that the constants which are added by default count.
FAINT_IMAGE, FAINT_SEQUENCE, FAINT = IMAGE * f32(2e-3), SEQUENCE * f32(2e-3), f32([2e-5, 1e-6, 0])
_LOUD = _MANY * f32(100)
_FLAT = f32([[3.0, 1.0, 2.0, 5.0], [0.0, -1.0, 7.0, 4.0]])
_RUN = f32([[1, 2, 3], [4, 5, 6]])

CASES = [
    *_reductions(),
    Case("reduce_argmax", {"x": X}, X.argmax(-1).astype(np.int32)),
    Case("reduce_argmax", {"x": X, "axis": 1}, X.argmax(1).astype(np.int32)),
    Case(
        "reduce_argmax",
        {"x": X, "axis": 0, "keep_dims": True, "output_dtype": "uint16"},
        X.argmax(0)[None].astype(np.int32),
    ),
    Case("reduce_argmax", {"x": X, "output_dtype": "int64"}, "Unsupported"),
    Case("reduce_argmin", {"x": X}, X.argmin(-1).astype(np.int32)),
    Case("reduce_argmin", {"x": X, "axis": 1}, X.argmin(1).astype(np.int32)),
    Case(
        "reduce_argmin",
        {"x": X, "axis": 0, "keep_dims": True, "output_dtype": "uint16"},
        X.argmin(0)[None].astype(np.int32),
    ),
    Case("reduce_argmin", {"x": X, "output_dtype": "int64"}, "Unsupported"),
    Case(
        "batch_norm",
        {"x": IMAGE, "mean": MEAN, "variance": FAINT},
        _batch_norm(FAINT, 1e-5),
    ),
    Case(
        "batch_norm",
        {
            "x": IMAGE,
            "mean": MEAN,
            "variance": VARIANCE,
            "gamma": GAMMA,
            "beta": BETA,
            "epsilon": 0.3,
        },
        _channels(GAMMA) * _batch_norm(VARIANCE, 0.3) + _channels(BETA),
    ),
    Case("instance_norm", {"x": FAINT_IMAGE}, _moments(FAINT_IMAGE, (2, 3), 1e-5)),
    Case(
        "instance_norm",
        {"x": SEQUENCE, "gamma": GAMMA, "beta": BETA, "epsilon": 0.3},
        _channels(GAMMA, 3) * _moments(SEQUENCE, (2,), 0.3) + _channels(BETA, 3),
    ),
    Case("l2_norm", {"x": FAINT_IMAGE}, _l2_norm(FAINT_IMAGE, 1e-6)),
    Case("l2_norm", {"x": IMAGE[0], "epsilon": 4.0}, _l2_norm(IMAGE[0], 4.0)),
    Case("layer_norm", {"x": FAINT_SEQUENCE}, _moments(FAINT_SEQUENCE, (0, 1, 2), 1e-5)),
    Case(
        "layer_norm",
        {"x": IMAGE, "axes": (-1, -2), "gamma": _G2, "beta": _B2, "epsilon": 0.2},
        _G2 * _moments(IMAGE, (2, 3), 0.2) + _B2,
    ),
    Case(
        "layer_norm",
        {"x": IMAGE, "axes": (1, 3), "gamma": _G13, "beta": _B13, "epsilon": 0.2},
        _G13[:, None] * _moments(IMAGE, (1, 3), 0.2) + _B13[:, None],
    ),
    Case("layer_norm", {"x": FAINT_IMAGE, "axes": (1,)}, _moments(FAINT_IMAGE, (1,), 1e-5)),
    Case("local_response_norm", {"x": _LOUD, "size": 3}, _local(_LOUD, 3, 1e-4, 0.75, 1.0)),
    Case(
        "local_response_norm",
        {"x": _MANY, "size": 5, "alpha": 0.4, "beta": 0.6, "k": 2.0},
        _local(_MANY, 5, 0.4, 0.6, 2.0),
    ),
    Case("cumsum", {"x": _RUN}, f32([[1, 2, 3], [5, 7, 9]])),
    Case("cumsum", {"x": _RUN, "axis": 1}, f32([[1, 3, 6], [4, 9, 15]])),
    Case("cumsum", {"x": _RUN, "axis": 1, "exclusive": True}, f32([[0, 1, 3], [0, 4, 9]])),
    Case("cumsum", {"x": _RUN, "axis": -1, "reverse": True}, f32([[6, 5, 3], [15, 11, 6]])),
    Case(
        "cumsum",
        {"x": _RUN, "axis": 1, "exclusive": True, "reverse": True},
        f32([[5, 3, 0], [11, 6, 0]]),
    ),
    Case("cumsum", {"x": i32([1, 2, 3])}, i32([1, 3, 6])),
    Case("argsort", {"x": _FLAT}, i32([[3, 0, 2, 1], [2, 3, 0, 1]])),
    Case("argsort", {"x": _FLAT, "ascending": True}, i32([[1, 2, 0, 3], [1, 0, 3, 2]])),
    Case("argsort", {"x": _FLAT, "axis": 0}, i32([[0, 0, 1, 0], [1, 1, 0, 1]])),
    Case("topk", {"x": _FLAT}, (f32([[5], [7]]), i32([[3], [2]]))),
    Case("topk", {"x": _FLAT, "k": 2}, (f32([[5, 3], [7, 4]]), i32([[3, 0], [2, 3]]))),
    Case(
        "topk",
        {"x": _FLAT, "k": -1, "ascending": True, "sort": False},
        (f32([[1, 2, 3, 5], [-1, 0, 4, 7]]), i32([[1, 2, 0, 3], [1, 0, 3, 2]])),
    ),
    Case(
        "topk",
        {"x": _FLAT, "axis": 0, "output_indices_dtype": "uint16"},
        (f32([[3, 1, 7, 5]]), i32([[0, 0, 1, 0]])),
    ),
    Case("topk", {"x": _FLAT, "k": 1, "return_indices": False}, f32([[5], [7]])),
    Case("topk", {"x": i32([4, 9, 1]), "k": 2}, (i32([9, 4]), i32([1, 0]))),
    Case("topk", {"x": _FLAT, "output_indices_dtype": "int8"}, "Unsupported"),
    Case("non_zero", {"x": f32([[0, 3], [1, 0]])}, i32([[0, 1], [1, 0]])),
    Case("non_zero", {"x": np.array([False, True, True])}, i32([[1], [2]])),
]
