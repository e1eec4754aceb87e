"""Operators that look up, write at places, sort, and count."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .table import Call, Unsupported, operator


def _wrapped(indices: Any, size: int) -> Any:
    """Indices from the end, as numbers from the start."""
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


@operator("Gather")
def _gather(call: Call, x: Any, indices: Any) -> Any:
    axis = call.get("axis", 0) % x.dim()
    places = _wrapped(indices, x.shape[axis])
    found = torch.index_select(x, axis, places.reshape(-1))
    return found.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


@operator("GatherElements")
def _gather_elements(call: Call, x: Any, indices: Any) -> Any:
    axis = call.get("axis", 0)
    return torch.gather(x, axis, _wrapped(indices, x.shape[axis]))


@operator("GatherND")
def _gather_nd(call: Call, x: Any, indices: Any) -> Any:
    if call.get("batch_dims", 0):
        raise Unsupported("`GatherND` with `batch_dims` has no counterpart here")
    depth = indices.shape[-1]
    return x[tuple(_wrapped(indices[..., axis], x.shape[axis]) for axis in range(depth))]


@operator("ScatterND")
def _scatter_nd(call: Call, x: Any, indices: Any, updates: Any) -> Any:
    if call.text("reduction", "none") != "none":
        raise Unsupported("`ScatterND` with a `reduction` has no counterpart here")
    places = tuple(_wrapped(indices[..., axis], x.shape[axis]) for axis in range(indices.shape[-1]))
    return torch.index_put(x, places, updates)


@operator("ScatterElements")
def _scatter_elements(call: Call, x: Any, indices: Any, updates: Any) -> Any:
    if call.text("reduction", "none") != "none":
        raise Unsupported("`ScatterElements` with a `reduction` has no counterpart here")
    axis = call.get("axis", 0)
    return torch.scatter(x, axis, _wrapped(indices, x.shape[axis]), updates)


@operator("OneHot", static=(1,))
def _one_hot(call: Call, indices: Any, depth: Any, values: Any) -> Any:
    count = int((call.list(1) or [0])[0])
    axis = call.get("axis", -1)
    axis = axis + indices.dim() + 1 if axis < 0 else axis
    places = torch.remainder(indices.long(), count)
    steps = torch.arange(count).reshape([-1] + [1] * (indices.dim() - axis))
    hot = places.unsqueeze(axis) == steps
    return torch.where(hot, values[1], values[0])


@operator("CumSum", static=(1,))
def _cumsum(call: Call, x: Any, axis: Any = None) -> Any:
    along = int((call.list(1) or [0])[0])
    if call.get("reverse", 0):
        x = x.flip(along)
    found = torch.cumsum(x, along, dtype=x.dtype)
    if call.get("exclusive", 0):
        found = found - x
    return found.flip(along) if call.get("reverse", 0) else found


@operator("TopK", static=(1,))
def _topk(call: Call, x: Any, k: Any = None) -> Any:
    count = int((call.list(1) or [call.get("k", 1)])[0])
    values, places = torch.topk(x, count, call.get("axis", -1), bool(call.get("largest", 1)))
    return values, places


@operator("ArgMax", "ArgMin")
def _arg(call: Call, x: Any) -> Any:
    find = torch.argmax if call.kind == "ArgMax" else torch.argmin
    axis, kept = call.get("axis", 0), bool(call.get("keepdims", 1))
    if not call.get("select_last_index", 0):
        return find(x, axis, keepdim=kept)
    return x.shape[axis] - 1 - find(x.flip(axis), axis, keepdim=kept)


GRID = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest"}
GRID |= {"cubic": "bicubic", "bicubic": "bicubic"}


@operator("GridSample")
def _grid_sample(call: Call, x: Any, grid: Any) -> Any:
    mode = GRID[call.text("mode", "linear")]
    corners = bool(call.get("align_corners", 0))
    return functional.grid_sample(x, grid, mode, call.text("padding_mode", "zeros"), corners)


@operator("Compress", static=(1,))
def _compress(call: Call, x: Any, condition: Any = None) -> Any:
    places = [place for place, taken in enumerate(call.list(1) or []) if taken]
    axis = call.get("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    return torch.index_select(x, axis, torch.tensor(places, dtype=torch.int64))
