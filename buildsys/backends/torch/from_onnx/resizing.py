"""Resizing: by the places that ONNX's rules give, so that any of its modes is exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .table import Call, Unsupported, operator

LINEAR = ("linear", "bilinear", "trilinear")


@operator("Upsample", static=(1,))
def _upsample(call: Call, x: Any, scales: Any = None) -> Any:
    factors = call.list(1, "scales") or []
    sizes = [math.floor(n * f) for n, f in zip(x.shape, factors, strict=True)]
    mode = call.text("mode", "nearest")
    return _resized(x, sizes, factors, mode, "asymmetric", "floor")


@operator("Resize", static=(1, 2, 3))
def _resize(call: Call, x: Any, *rest: Any) -> Any:
    if call.get("antialias", 0) or call.get("exclude_outside", 0):
        raise Unsupported("`Resize` with `antialias` or `exclude_outside` has no counterpart here")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("`Resize` that keeps the aspect ratio has no counterpart here")
    given = [axis % x.dim() for axis in (call.get("axes") or range(x.dim()))]
    # Operator set 10 had the factors in the second argument, and rules of its own.
    factors = call.list(1 if call.opset < 11 else 2) or None
    wanted = (call.list(3) if call.opset >= 11 else None) or None
    sizes, scales = list(x.shape), [1.0] * x.dim()
    for number, axis in enumerate(given):
        if wanted is not None:
            sizes[axis] = wanted[number]
            scales[axis] = wanted[number] / x.shape[axis]
        elif factors is not None:
            scales[axis] = factors[number]
            sizes[axis] = math.floor(x.shape[axis] * scales[axis])
    old = "asymmetric" if call.opset < 11 else "half_pixel"
    return _resized(
        x,
        sizes,
        scales,
        call.text("mode", "nearest"),
        call.text("coordinate_transformation_mode", old),
        call.text("nearest_mode", "floor" if call.opset < 11 else "round_prefer_floor"),
    )


def _resized(
    x: Any, sizes: list[int], scales: list[float], mode: str, place: str, rounded: str
) -> Any:
    for axis, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        if place == "align_corners" and abs(x.shape[axis] * scale - size) > 1e-3:
            raise Unsupported(
                "`Resize` with `align_corners` to a size that is not whole has no counterpart here: ONNX "
                "and ONNX Runtime compute it otherwise"
            )
        if size == x.shape[axis] and scale == 1.0:
            continue
        at = _places(place, size, x.shape[axis], scale)
        if mode == "nearest":
            chosen = torch.from_numpy(_rounded(at, rounded).clip(0, x.shape[axis] - 1))
            x = torch.index_select(x, axis, chosen)
        elif mode in LINEAR:
            x = _interpolated(x, axis, at)
        else:
            raise Unsupported(f"`Resize` in the mode `{mode}` has no counterpart here")
    return x


def _places(how: str, size: int, before: int, scale: float) -> np.ndarray[Any, Any]:
    """Where in the old axis each place of the new one lies."""
    new = np.arange(size, dtype=np.float64)
    if how == "asymmetric":
        return new / scale
    if how == "align_corners":
        return new * (before - 1) / (size - 1) if size > 1 else new * 0
    if how == "pytorch_half_pixel" and size == 1:
        return new * 0
    if how == "half_pixel_symmetric":
        adjusted = size / (before * scale)
        return (before / 2) * (1 - adjusted) + (new + 0.5) / scale - 0.5
    if how in ("half_pixel", "pytorch_half_pixel"):
        return (new + 0.5) / scale - 0.5
    raise Unsupported(f"`Resize` with the coordinates `{how}` has no counterpart here")


def _rounded(at: np.ndarray[Any, Any], how: str) -> np.ndarray[Any, Any]:
    if how == "floor":
        found = np.floor(at)
    elif how == "ceil":
        found = np.ceil(at)
    elif how == "round_prefer_ceil":
        found = np.floor(at + 0.5)
    else:
        found = np.ceil(at - 0.5)
    return np.asarray(found, np.int64)


def _interpolated(x: Any, axis: int, at: np.ndarray[Any, Any]) -> Any:
    """A product with a matrix of two numbers a row, which any converter has."""
    before = x.shape[axis]
    at = at.clip(0, before - 1)
    low = np.floor(at).astype(np.int64)
    high = (low + 1).clip(max=before - 1)
    matrix = np.zeros((len(at), before))
    rows = np.arange(len(at))
    np.add.at(matrix, (rows, low), 1 - (at - low))
    np.add.at(matrix, (rows, high), at - low)
    weights = torch.from_numpy(matrix.T.copy()).to(x.dtype)
    return torch.matmul(x.movedim(axis, -1), weights).movedim(-1, axis)
