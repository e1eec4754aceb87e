"""Elements written at indices."""

from __future__ import annotations

import math

import torch

from ..errors import Unsupported
from ..registry import Tensor, operation
from .indices import checked

_REDUCTIONS = {"mul": "prod", "div": "prod", "max": "amax", "min": "amin"}


@operation("scatter")
def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    mode: str,
    axis: int = 0,
    validate_indices: bool | None = None,
) -> Tensor:
    """`data[..., indices[i], ...]` combined with `updates[..., i, ...]`.

    The mode has no default: coremltools documents `update` and applies `add`.

    Raises:
        Unsupported: The mode is none of the documented ones.
        Undefined: An index is out of bounds.
    """
    places = checked("scatter", indices, data.shape[axis], validate_indices)
    return _rows("scatter", data, places.reshape(-1), updates, axis, mode)


@operation("scatter_nd")
def scatter_nd(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    mode: str = "add",
    validate_indices: bool | None = None,
) -> Tensor:
    """`data[indices[i, ..., :]]` combined with `updates[i, ...]`.

    Raises:
        Unsupported: The mode is none of the documented ones.
        Undefined: An index is out of bounds.
    """
    depth = indices.shape[-1]
    place = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for column, size in zip(indices.unbind(-1), data.shape, strict=False):
        place = place * size + checked("scatter_nd", column, size, validate_indices)
    flat = data.reshape(math.prod(data.shape[:depth]), *data.shape[depth:])
    place = place.reshape(-1)
    rows = updates.reshape(place.shape[0], *data.shape[depth:])
    return _rows("scatter_nd", flat, place, rows, 0, mode).reshape(data.shape)


@operation("scatter_along_axis")
def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool | None = None,
) -> Tensor:
    """`data` at `indices` along an axis combined with `updates`.

    Raises:
        Unsupported: The mode is none of the documented ones.
        Undefined: An index is out of bounds.
    """
    places = checked("scatter_along_axis", indices, data.shape[axis], validate_indices)
    if mode == "update":
        return torch.scatter(data, axis, places, updates)
    if mode == "add":
        return torch.scatter_add(data, axis, places, updates)
    if mode == "sub":
        return torch.scatter_add(data, axis, places, -updates)
    return _elements("scatter_along_axis", data, places, updates, axis, mode)


def _rows(name: str, data: Tensor, places: Tensor, updates: Tensor, axis: int, mode: str) -> Tensor:
    """Slices of `data` at `places` along an axis combined with slices of `updates`."""
    if mode == "update":
        return torch.index_copy(data, axis, places, updates)
    if mode == "add":
        return torch.index_add(data, axis, places, updates)
    if mode == "sub":
        return torch.index_add(data, axis, places, updates, alpha=-1)
    shape = [1] * data.dim()
    shape[axis] = -1
    return _elements(name, data, places.view(shape).expand_as(updates), updates, axis, mode)


def _elements(
    name: str, data: Tensor, places: Tensor, updates: Tensor, axis: int, mode: str
) -> Tensor:
    """Elements of `data` at `places` along an axis combined with `updates` of the same shape."""
    if (reduction := _REDUCTIONS.get(mode)) is None:
        raise Unsupported(f"{name}: its attribute mode is {mode!r}")
    if mode != "div":
        return torch.scatter_reduce(data, axis, places, updates, reduction)
    if not data.is_floating_point():
        raise Unsupported(f"{name}: its attribute mode is 'div' with whole numbers")
    return data / torch.ones_like(data).scatter_reduce_(axis, places, updates, reduction)
