"""Reductions over axes; without axes over all of them."""

from __future__ import annotations

import torch

from ..errors import Unsupported
from ..registry import Ints, Tensor, operation

_INDEX_TYPES = ("int32", "uint16")  # Both are computed with as int32.


def _over(x: Tensor, axes: Ints | None) -> Ints:
    return tuple(range(x.dim())) if axes is None else axes


@operation("reduce_sum")
def reduce_sum(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The sum."""
    return torch.sum(x, dim=_over(x, axes), keepdim=keep_dims, dtype=x.dtype)


@operation("reduce_mean")
def reduce_mean(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The mean; of whole numbers without its fraction."""
    return _of_floats(x, torch.mean, axes, keep_dims)


@operation("reduce_max")
def reduce_max(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The largest element."""
    return torch.amax(x, dim=_over(x, axes), keepdim=keep_dims)


@operation("reduce_min")
def reduce_min(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The smallest element."""
    return torch.amin(x, dim=_over(x, axes), keepdim=keep_dims)


@operation("reduce_prod")
def reduce_prod(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The product."""
    over = sorted((axis % x.dim() for axis in _over(x, axes)), reverse=True)
    for axis in over:
        x = torch.prod(x, dim=axis, keepdim=keep_dims, dtype=x.dtype)
    return x


@operation("reduce_l1_norm")
def reduce_l1_norm(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The sum of absolute values."""
    return reduce_sum(torch.abs(x), axes, keep_dims)


@operation("reduce_l2_norm")
def reduce_l2_norm(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The square root of the sum of squares."""
    return _of_floats(x, torch.linalg.vector_norm, axes, keep_dims)


@operation("reduce_sum_square")
def reduce_sum_square(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The sum of squares."""
    return reduce_sum(x * x, axes, keep_dims)


@operation("reduce_log_sum")
def reduce_log_sum(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The logarithm of the sum."""
    return _of_floats(x, _log_sum, axes, keep_dims)


@operation("reduce_log_sum_exp")
def reduce_log_sum_exp(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The logarithm of the sum of exponentials."""
    return _of_floats(x, torch.logsumexp, axes, keep_dims)


@operation("reduce_argmax")
def reduce_argmax(
    x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
) -> Tensor:
    """Where the largest element along an axis is; of equal ones the first.

    Raises:
        Unsupported: `output_dtype` is none of the documented ones.
    """
    return _indices("reduce_argmax", torch.argmax(x, axis, keep_dims), output_dtype)


@operation("reduce_argmin")
def reduce_argmin(
    x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
) -> Tensor:
    """Where the smallest element along an axis is; of equal ones the first.

    Raises:
        Unsupported: `output_dtype` is none of the documented ones.
    """
    return _indices("reduce_argmin", torch.argmin(x, axis, keep_dims), output_dtype)


def _indices(name: str, places: Tensor, word: str) -> Tensor:
    if word.lower() not in _INDEX_TYPES:
        raise Unsupported(f"{name}: its attribute output_dtype is {word!r}")
    return places.to(torch.int32)


def _of_floats(x: Tensor, function: object, axes: Ints | None, keep_dims: bool) -> Tensor:
    """The reduction in floats, then in the type of `x` as coremltools folds constants."""
    assert callable(function)
    values = x if x.is_floating_point() else x.to(torch.float64)
    return function(values, dim=_over(x, axes), keepdim=keep_dims).to(x.dtype)


def _log_sum(x: Tensor, dim: Ints, keepdim: bool) -> Tensor:
    return torch.sum(x, dim=dim, keepdim=keepdim).log_()
