"""Operators that change shapes, and such as cut, join, repeat or pad."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from .table import Call, Unsupported, dtype_of, operator


@operator("Reshape", static=(1,))
def _reshape(call: Call, x: Any, shape: Any = None) -> Any:
    wanted = call.list(1, "shape") or []
    if not call.get("allowzero", 0):
        wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten")
def _flatten(call: Call, x: Any) -> Any:
    axis = call.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def _transpose(call: Call, x: Any) -> Any:
    return x.permute(call.get("perm") or list(range(x.dim()))[::-1])


@operator("Squeeze", static=(1,))
def _squeeze(call: Call, x: Any, axes: Any = None) -> Any:
    gone = call.list(1, "axes")
    if gone is None:
        gone = [axis for axis, size in enumerate(x.shape) if size == 1]
    kept = {axis % x.dim() for axis in gone}
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in kept])


@operator("Unsqueeze", static=(1,))
def _unsqueeze(call: Call, x: Any, axes: Any = None) -> Any:
    new = call.list(1, "axes") or []
    rank = x.dim() + len(new)
    added = {axis % rank for axis in new}
    sizes = iter(x.shape)
    return x.reshape([1 if axis in added else next(sizes) for axis in range(rank)])


@operator("Concat")
def _concat(call: Call, *tensors: Any) -> Any:
    return torch.cat(tensors, call.get("axis", 1))


@operator("Split", static=(1,))
def _split(call: Call, x: Any, split: Any = None) -> Any:
    axis = call.get("axis", 0)
    sizes = call.list(1, "split")
    if sizes is None:
        parts = call.get("num_outputs", call.outputs)
        each = -(-x.shape[axis] // parts)
        sizes = [each] * (parts - 1)
        sizes.append(x.shape[axis] - sum(sizes))
    return torch.split(x, sizes, axis)


@operator("Slice", static=(1, 2, 3, 4))
def _slice(call: Call, x: Any, *rest: Any) -> Any:
    starts, ends = call.list(1, "starts") or [], call.list(2, "ends") or []
    axes = call.list(3, "axes") or list(range(len(starts)))
    steps = call.list(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        first, last, _ = slice(start, end, step).indices(size)
        if step < 0 and end < -size:
            last = -1
        if step > 0:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(first, max(first, last), step),)]
        else:
            places = torch.arange(first, last, step)
            x = torch.index_select(x, axis, places)
    return x


@operator("Expand", static=(1,))
def _expand(call: Call, x: Any, shape: Any = None) -> Any:
    wanted = torch.broadcast_shapes(x.shape, tuple(call.list(1) or ()))
    return x.expand(wanted)


@operator("Tile", static=(1,))
def _tile(call: Call, x: Any, repeats: Any = None) -> Any:
    return x.repeat(call.list(1) or [])


PADDED = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


@operator("Pad", static=(1, 2, 3))
def _pad(call: Call, x: Any, *rest: Any) -> Any:
    mode = call.text("mode", "constant")
    if mode not in PADDED:
        raise Unsupported(f"`Pad` in the mode `{mode}` has no counterpart in torch")
    pads = call.list(1, "pads") or []
    axes = [axis % x.dim() for axis in (call.list(3) or range(x.dim()))]
    filled = call.list(2)
    value = filled[0] if filled else call.get("value", 0.0)
    before, after = pads[: len(axes)], pads[len(axes) :]
    for axis, front, back in zip(axes, before, after, strict=True):
        if front or back:
            x = _padded(x, axis, front, back, PADDED[mode], value)
    return x


def _padded(x: Any, axis: int, front: int, back: int, mode: str, value: float) -> Any:
    """An axis alone, for `pad` takes the modes other than constants at the last axes only."""
    if mode == "constant":
        return functional.pad(x, [0, 0] * (x.dim() - 1 - axis) + [front, back], value=value)
    size = x.shape[axis]
    places = torch.arange(-front, size + back)
    if mode == "reflect" and size > 1:
        places = (places + (size - 1)).remainder(2 * (size - 1)) - (size - 1)
        places = places.abs()
    else:
        places = places.clamp(0, size - 1)
    return torch.index_select(x, axis, places)


@operator("DepthToSpace")
def _depth_to_space(call: Call, x: Any) -> Any:
    n, c, h, w = x.shape
    b = call.get("blocksize")
    if call.text("mode", "DCR") == "DCR":
        x = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, c // (b * b), b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // (b * b), h * b, w * b)


@operator("SpaceToDepth")
def _space_to_depth(call: Call, x: Any) -> Any:
    n, c, h, w = x.shape
    b = call.get("blocksize")
    x = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * b * b, h // b, w // b)


@operator("ConstantOfShape", static=(0,))
def _constant_of_shape(call: Call, shape: Any = None) -> Any:
    value = call.get("value")
    filled = torch.zeros(1) if value is None else torch.from_numpy(value.copy())
    return filled.reshape(()).expand(call.list(0) or []).clone()


@operator("Range", static=(0, 1, 2))
def _range(call: Call, *rest: Any) -> Any:
    kind = call.static[0].dtype.name
    numbers = [call.static[place].reshape(-1)[0].item() for place in range(3)]
    return torch.arange(*numbers, dtype=getattr(torch, kind))


@operator("Trilu", static=(1,))
def _trilu(call: Call, x: Any, k: Any = None) -> Any:
    diagonal = (call.list(1) or [0])[0]
    return torch.triu(x, diagonal) if call.get("upper", 1) else torch.tril(x, diagonal)


@operator("EyeLike")
def _eye_like(call: Call, x: Any) -> Any:
    kind = dtype_of(call.get("dtype")) if call.get("dtype") else x.dtype
    rows, columns, shift = torch.arange(x.shape[0]), torch.arange(x.shape[1]), call.get("k", 0)
    return (rows[:, None] + shift == columns[None]).to(kind)
