"""Elements read and written: slices, gathering and scattering."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..case import Array, Case, f32, floats, i32

X = floats(4, 5, 6)
ROW = f32([10, 20, 30, 40, 50])


def _written(x: Array, at: Any, values: Any) -> Array:
    y = x.copy()
    y[at] = values
    return y


def _gather(x: Array, indices: Array, axis: int, batch: int) -> Array:
    """`y[b..., p..., i..., q...] = x[b..., p..., indices[b..., i...], q...]`."""
    shape = x.shape[:axis] + indices.shape[batch:] + x.shape[axis + 1 :]
    y = np.empty(shape, x.dtype)
    inner = indices.ndim - batch
    for place in itertools.product(*(range(n) for n in shape)):
        index = indices[place[:batch] + place[axis : axis + inner]]
        y[place] = x[(*place[:axis], index, *place[axis + inner :])]
    return y


_MODES: dict[str, Callable[[Any, Any], Any]] = {
    "update": lambda old, new: new,
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": max,
    "min": min,
}
_DATA, _UPDATES = floats(4, 3), floats(3, 3, low=0.5, high=2.0)
_TWICE = i32([2, 0, 2])
_ONCE = i32([2, 0, 1])


def _scatter_rows(mode: str, indices: Array) -> Array:
    y = _DATA.copy()
    for i, row in enumerate(indices):
        for j in range(3):
            y[row, j] = _MODES[mode](y[row, j], _UPDATES[i, j])
    return y


_COLUMNS = i32([[0, 2, 0], [1, 1, 3], [3, 0, 2]])


def _scatter_along_rows(mode: str) -> Array:
    y = _DATA.copy()
    for i in range(3):
        for j in range(3):
            row = _COLUMNS[i, j]
            y[row, j] = _MODES[mode](y[row, j], _UPDATES[i, j])
    return y


_PLACES = i32([[0, 1], [3, 2], [0, 1]])
_NEW = f32([2.0, 3.0, 0.5])


def _scatter_points(mode: str, count: int) -> Array:
    y = _DATA.copy()
    for (i, j), new in zip(_PLACES[:count], _NEW[:count], strict=True):
        y[i, j] = _MODES[mode](y[i, j], new)
    return y


def _scatters() -> list[Case]:
    cases = []
    for mode in _MODES:
        rows = _ONCE if mode == "update" else _TWICE  # The order of two updates is not defined.
        count = 2 if mode == "update" else 3
        cases += [
            Case(
                "scatter",
                {"data": _DATA, "indices": rows, "updates": _UPDATES, "mode": mode},
                _scatter_rows(mode, rows),
            ),
            Case(
                "scatter_along_axis",
                {"data": _DATA, "indices": _COLUMNS, "updates": _UPDATES, "mode": mode},
                _scatter_along_rows(mode),
            ),
            Case(
                "scatter_nd",
                {
                    "data": _DATA,
                    "indices": _PLACES[:count],
                    "updates": _NEW[:count],
                    "mode": mode,
                },
                _scatter_points(mode, count),
            ),
        ]
    return cases


_SLICE = {"begin": (1, -4, 0), "end": (3, 5, 2)}
_BATCHED = floats(2, 3, 4, 5)
_INTO = i32([[[3, 0], [1, 1]], [[2, 2], [0, 3]]])
_POINTS = i32([[[0, 1], [2, 3]], [[1, 1], [0, 0]]])

CASES = [
    Case("slice_by_index", {"x": X, **_SLICE}, X[1:3, -4:5, 0:2]),
    Case("slice_by_index", {"x": X, **_SLICE, "stride": (1, 2, 1)}, X[1:3, -4:5:2, 0:2]),
    Case(
        "slice_by_index",
        {"x": X, **_SLICE, "begin_mask": (False, True, False), "end_mask": (True, False, True)},
        X[1:, :5, 0:],
    ),
    Case(
        "slice_by_index",
        {"x": X, **_SLICE, "squeeze_mask": (True, False, True)},
        X[1, -4:5, 0],
    ),
    Case(
        "slice_by_index",
        {
            "x": X,
            "begin": (-1, 0, 0),
            "end": (0, 0, 0),
            "end_mask": (False, True, True),
            "squeeze_mask": (True, False, False),
        },
        X[-1],
    ),
    Case(
        "slice_by_index",
        {"x": X, "begin": (3, 4, -1), "end": (0, 1, 0), "stride": (-1, -2, -2)},
        X[3:0:-1, 4:1:-2, -1:0:-2],
    ),
    Case(
        "slice_by_index",
        {
            "x": X,
            "begin": (0, 4, 0),
            "end": (0, 1, 0),
            "stride": (-1, -1, -4),
            "begin_mask": (True, False, True),
            "end_mask": (True, True, True),
        },
        X[::-1, 4::-1, ::-4],
    ),
    Case("slice_by_index", {"x": ROW, "begin": (2,), "end": (99,)}, ROW[2:]),
    Case("slice_by_index", {"x": ROW, "begin": (2,), "end": (2,)}, ROW[:0]),
    Case(
        "slice_update",
        {"x": ROW, "update": f32([1, 2]), "begin": (1,), "end": (3,)},
        f32([10, 1, 2, 40, 50]),
    ),
    Case(
        "slice_update",
        {"x": ROW, "update": f32([1, 2]), "begin": (0,), "end": (4,), "stride": (2,)},
        f32([1, 20, 2, 40, 50]),
    ),
    Case(
        "slice_update",
        {"x": ROW, "update": f32([1, 2]), "begin": (3,), "end": (0,), "stride": (-2,)},
        f32([10, 2, 30, 1, 50]),
    ),
    Case(
        "slice_update",
        {
            "x": X,
            "update": np.ones((5, 2), np.float32),
            "begin": (1, 3, 2),
            "end": (0, 0, 4),
            "stride": (1, 1, 1),
            "begin_mask": (False, True, False),
            "end_mask": (False, True, False),
            "squeeze_mask": (True, False, False),
        },
        _written(X, (1, slice(None), slice(2, 4)), 1),
    ),
    Case(
        "slice_update",
        {
            "x": X,
            "update": np.ones((4, 5), np.float32),
            "begin": (0, 0, -1),
            "end": (4, 5, 0),
            "squeeze_mask": (False, False, True),
        },
        _written(X, (slice(None), slice(None), -1), 1),
    ),
    Case("slice_by_size", {"x": X, "begin": (1, 0, 2), "size": (2, -1, 3)}, X[1:3, :, 2:5]),
    Case("slice_by_size", {"x": X, "begin": (0, -2, 0), "size": (-1, -1, 3)}, X[:, -2:, :3]),
    Case("gather", {"x": X, "indices": i32([2, 0, 2])}, X[[2, 0, 2]]),
    Case("gather", {"x": X, "indices": i32(3)}, X[3]),
    Case("gather", {"x": X, "indices": i32([-1]), "axis": 1}, X[:, [-1]]),
    Case(
        "gather", {"x": X, "indices": i32([[0, 5], [1, 1]]), "axis": -1}, X[..., [[0, 5], [1, 1]]]
    ),
    Case("gather", {"x": ROW, "indices": np.array([4, 1], np.uint8)}, ROW[[4, 1]]),
    Case(
        "gather",
        {"x": _BATCHED, "indices": _INTO, "axis": 2, "batch_dims": 1},
        _gather(_BATCHED, _INTO, 2, 1),
    ),
    Case(
        "gather",
        {"x": _BATCHED, "indices": i32([[0, 3, 2], [1, 1, 0]]), "axis": 2, "batch_dims": 2},
        _gather(_BATCHED, i32([[0, 3, 2], [1, 1, 0]]), 2, 2),
    ),
    Case("gather", {"x": ROW, "indices": i32([4]), "validate_indices": True}, ROW[[4]]),
    Case("gather", {"x": ROW, "indices": i32([-1]), "validate_indices": True}, "Undefined"),
    Case("gather", {"x": ROW, "indices": i32([-1]), "validate_indices": False}, "Undefined"),
    Case("gather", {"x": ROW, "indices": i32([5])}, "Undefined"),
    Case("gather", {"x": ROW, "indices": i32([-6])}, "Undefined"),
    Case(
        "gather_along_axis",
        {"x": _DATA, "indices": i32([[3, 0, -1]])},
        _DATA[[3, 0, -1], [0, 1, 2]][None],
    ),
    Case(
        "gather_along_axis",
        {"x": _DATA, "indices": i32([[2], [1], [0], [0]]), "axis": -1, "validate_indices": True},
        np.take_along_axis(_DATA, i32([[2], [1], [0], [0]]), -1),
    ),
    Case(
        "gather_along_axis",
        {"x": _DATA, "indices": i32([[-1, 0, 0]]), "validate_indices": False},
        "Undefined",
    ),
    Case("gather_nd", {"x": X, "indices": i32([[1, 4], [-1, 0]])}, X[[1, -1], [4, 0]]),
    Case("gather_nd", {"x": X, "indices": i32([[[2]], [[0]]])}, X[[[2], [0]]]),
    Case("gather_nd", {"x": X, "indices": i32([[1, 4, 5]])}, X[[1], [4], [5]]),
    Case(
        "gather_nd",
        {"x": _BATCHED, "indices": _POINTS, "batch_dims": 1},
        np.stack([_BATCHED[b][_POINTS[b, :, 0], _POINTS[b, :, 1]] for b in range(2)]),
    ),
    Case("gather_nd", {"x": X, "indices": i32([[4]]), "validate_indices": True}, "Undefined"),
    Case("gather_nd", {"x": X, "indices": i32([[3]]), "validate_indices": True}, X[[3]]),
    *_scatters(),
    Case(
        "scatter",
        {
            "data": _DATA,
            "indices": i32([-1, 1]),
            "updates": f32([[1, 2]] * 4),
            "axis": 1,
            "mode": "update",
        },
        np.stack([_DATA[:, 0], np.full(4, 2, np.float32), np.full(4, 1, np.float32)], 1),
    ),
    Case(
        "scatter",
        {
            "data": i32([5, 6]),
            "indices": i32([1]),
            "updates": i32([4]),
            "mode": "add",
            "validate_indices": True,
        },
        i32([5, 10]),
    ),
    Case(
        "scatter",
        {
            "data": ROW,
            "indices": i32([-1]),
            "updates": f32([4]),
            "mode": "add",
            "validate_indices": False,
        },
        "Undefined",
    ),
    Case(
        "scatter",
        {"data": ROW, "indices": i32([1]), "updates": f32([4]), "mode": "xor"},
        "Unsupported",
    ),
    Case(
        "scatter",
        {"data": i32([5]), "indices": i32([0]), "updates": i32([2]), "mode": "div"},
        "Unsupported",
    ),
    Case(
        "scatter_along_axis",
        {"data": f32([[1, 2, 3]]), "indices": i32([[2, -3]]), "updates": f32([[5, 7]]), "axis": 1},
        f32([[8, 2, 8]]),
    ),
    Case(
        "scatter_along_axis",
        {
            "data": ROW,
            "indices": i32([5]),
            "updates": f32([1]),
            "validate_indices": True,
        },
        "Undefined",
    ),
    Case(
        "scatter_along_axis",
        {"data": ROW, "indices": i32([1]), "updates": f32([4]), "mode": "xor"},
        "Unsupported",
    ),
    Case(
        "scatter_nd",
        {"data": _DATA, "indices": i32([[2], [2]]), "updates": _UPDATES[:2]},
        np.concatenate([_DATA[:2], (_DATA[2] + _UPDATES[0] + _UPDATES[1])[None], _DATA[3:]]),
    ),
    Case(
        "scatter_nd",
        {"data": ROW, "indices": i32([[-1]]), "updates": f32([1]), "validate_indices": True},
        "Undefined",
    ),
    Case(
        "scatter_nd",
        {"data": ROW, "indices": i32([[1]]), "updates": f32([1]), "mode": "xor"},
        "Unsupported",
    ),
]
