"""Operators that converters lack, written with those that every converter has.

Each function takes what PyTorch's own takes, and gives the same numbers up to rounding. Sizes that may vary
stay sizes of the graph: nothing here reads one into a Python number, but for `bicubic`, which says so.
`None` in place of a result means that the case is left to PyTorch's operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

CUBIC = -0.75
"""The constant of PyTorch's cubic kernel. Source: aten/src/ATen/native/UpSample.h."""


def diff(
    input: torch.Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: torch.Tensor | None = None,
    append: torch.Tensor | None = None,
) -> torch.Tensor:
    """`torch.diff`: neighbors subtracted, `n` times."""
    ends = [part for part in (prepend, input, append) if part is not None]
    found = torch.cat(ends, dim) if len(ends) > 1 else input
    axis = dim % found.ndim
    before, after = (slice(None),) * axis, (slice(None),) * (found.ndim - axis - 1)
    for _ in range(n):
        later = found[(*before, slice(1, None), *after)]
        earlier = found[(*before, slice(None, -1), *after)]
        found = later ^ earlier if found.dtype == torch.bool else later - earlier
    return found


def cumsum(input: torch.Tensor, dim: int, **given: Any) -> torch.Tensor | None:
    """`torch.cumsum` of truths: ONNX adds numbers only, and PyTorch counts."""
    if input.dtype != torch.bool:
        return None
    return torch.cumsum(input.to(given.get("dtype") or torch.int64), dim)


def new_ones(tensor: torch.Tensor, *size: Any, **given: Any) -> torch.Tensor | None:
    """`Tensor.new_ones`: ones of the type of another tensor."""
    return _new(torch.ones, tensor, size, given)


def new_zeros(tensor: torch.Tensor, *size: Any, **given: Any) -> torch.Tensor | None:
    """`Tensor.new_zeros`: zeros of the type of another tensor."""
    return _new(torch.zeros, tensor, size, given)


def new_full(
    tensor: torch.Tensor, size: Sequence[Any], fill_value: Any, **given: Any
) -> torch.Tensor | None:
    """`Tensor.new_full`: one number, of the type of another tensor."""
    if set(given) - {"dtype", "device"}:
        return None
    dtype = given.get("dtype") or tensor.dtype
    # Core ML fills no tensor without axes; as a constant it takes one.
    return torch.full(tuple(size), fill_value, dtype=dtype) if size else _number(fill_value, dtype)


def _new(
    make: Callable[..., torch.Tensor],
    tensor: torch.Tensor,
    size: tuple[Any, ...],
    given: dict[str, Any],
) -> torch.Tensor | None:
    if set(given) - {"size", "dtype", "device"}:
        return None
    sizes = given.get("size", size)
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        (sizes,) = sizes
    dtype = given.get("dtype") or tensor.dtype
    return make(tuple(sizes), dtype=dtype) if sizes else _number(make is torch.ones, dtype)


def _number(value: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(value, dtype=dtype)


def embedding_bag(
    input: torch.Tensor,
    weight: torch.Tensor,
    offsets: torch.Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> torch.Tensor | None:
    """`functional.embedding_bag` of bags of equal size: rows looked up, and joined within each bag."""
    del (
        norm_type,
        scale_grad_by_freq,
        sparse,
        include_last_offset,
    )  # They matter while training only.
    if offsets is not None or input.ndim != 2 or max_norm is not None:
        return None
    rows = functional.embedding(input, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    if padding_idx is None:
        joined = {"sum": rows.sum, "mean": rows.mean, "max": rows.amax}[mode]
        return joined(dim=1)
    if mode == "max":
        return None
    counted = (input != padding_idx % weight.shape[0]).unsqueeze(-1).to(rows.dtype)
    total = (rows * counted).sum(dim=1)
    return total if mode == "sum" else total / counted.sum(dim=1).clamp(min=1)


def interpolate(
    input: torch.Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> torch.Tensor | None:
    """`functional.interpolate`, bicubic: two products with constant matrices.

    The sizes become constants of the graph. Whoever captures it compares it at other sizes.
    """
    if mode != "bicubic" or antialias or input.ndim != 4:
        return None
    inputs = [int(each) for each in input.shape[2:]]
    if size is not None:
        outputs = [int(each) for each in (size if isinstance(size, Sequence) else (size, size))]
        scales: list[float | None] = [None, None]
    else:
        pair = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor,) * 2
        outputs = [int(np.floor(n * float(by))) for n, by in zip(inputs, pair, strict=True)]
        scales = [None if recompute_scale_factor else float(by) for by in pair]
    rows, columns = (
        torch.from_numpy(bicubic(have, want, scale, bool(align_corners))).to(input.dtype)
        for have, want, scale in zip(inputs, outputs, scales, strict=True)
    )
    return torch.matmul(torch.matmul(rows, input), columns.t())


def bicubic(have: int, want: int, scale: float | None, align_corners: bool) -> NDArray[np.float64]:
    """The matrix [want, have] that resizes an axis by PyTorch's cubic kernel."""
    places = np.arange(want, dtype=np.float64)
    if align_corners:
        places = places * ((have - 1) / (want - 1) if want > 1 else 0.0)
    else:
        places = (places + 0.5) * (1 / scale if scale else have / want) - 0.5
    first = np.floor(places).astype(np.int64)
    away = places - first
    found = np.zeros((want, have))
    for step in range(-1, 3):
        share = _kernel(np.abs(away - step))
        # Beyond the edges the edge's own pixel counts.
        np.add.at(found, (np.arange(want), np.clip(first + step, 0, have - 1)), share)
    return found


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * CUBIC - 4 * CUBIC
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def lerp(input: torch.Tensor, end: torch.Tensor, weight: Any) -> torch.Tensor:
    """`torch.lerp`: a point between two."""
    return input + weight * (end - input)


def log_sigmoid(input: torch.Tensor) -> torch.Tensor:
    """`functional.logsigmoid`."""
    return -functional.softplus(-input)


def hypot(input: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`torch.hypot`: the length of a vector of two."""
    return torch.sqrt(input * input + other * other)


def logaddexp(input: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`torch.logaddexp`: the logarithm of a sum of exponentials."""
    return torch.maximum(input, other) + functional.softplus(-torch.abs(input - other))


def movedim(input: torch.Tensor, source: Any, destination: Any) -> torch.Tensor:
    """`torch.movedim`: axes in another order."""
    rank = input.ndim
    moved = [each % rank for each in (source if isinstance(source, Sequence) else (source,))]
    places = [
        each % rank
        for each in (destination if isinstance(destination, Sequence) else (destination,))
    ]
    order = [axis for axis in range(rank) if axis not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return input.permute(order)


def var_mean(input: torch.Tensor, *given: Any, **named: Any) -> Any:
    """`torch.var_mean`."""
    return torch.var(input, *given, **named), _mean(input, given, named)


def std_mean(input: torch.Tensor, *given: Any, **named: Any) -> Any:
    """`torch.std_mean`."""
    return torch.std(input, *given, **named), _mean(input, given, named)


def _mean(input: torch.Tensor, given: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor:
    axes = named.get("dim", given[0] if given and not isinstance(given[0], bool) else None)
    if axes is None:
        return input.mean()
    return input.mean(axes, named.get("keepdim", False))


def channel_shuffle(input: torch.Tensor, groups: int) -> torch.Tensor:
    """`functional.channel_shuffle`."""
    parts = input.unflatten(1, (groups, -1))
    return parts.transpose(1, 2).flatten(1, 2)


def trunc(input: torch.Tensor) -> torch.Tensor:
    """`torch.trunc`: without what stands behind the point."""
    return torch.where(input < 0, torch.ceil(input), torch.floor(input))


def frac(input: torch.Tensor) -> torch.Tensor:
    """`torch.frac`: what stands behind the point."""
    return input - trunc(input)


def erfc(input: torch.Tensor) -> torch.Tensor:
    """`torch.erfc`."""
    return 1 - torch.erf(input)


def exp2(input: torch.Tensor) -> torch.Tensor:
    """`torch.exp2`: a power of two."""
    return torch.exp(input * float(np.log(2)))


def celu(input: torch.Tensor, alpha: float = 1.0, inplace: bool = False) -> torch.Tensor | None:
    """`functional.celu`."""
    if inplace:
        return None
    return alpha * functional.elu(input / alpha)


def broadcast_to(input: torch.Tensor, size: Sequence[Any]) -> torch.Tensor:
    """`torch.broadcast_to`."""
    return input.expand(*size)


def view_as(input: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`Tensor.view_as`."""
    return input.view(other.shape)


def take_along_dim(
    input: torch.Tensor, indices: torch.Tensor, dim: int | None = None
) -> torch.Tensor | None:
    """`torch.take_along_dim` without broadcasting."""
    if dim is None or input.ndim != indices.ndim:
        return None
    axis = dim % input.ndim
    others = [n for n in range(input.ndim) if n != axis]
    if any(input.shape[n] != indices.shape[n] for n in others):
        return None
    return torch.gather(input, axis, indices)


def one_hot(tensor: torch.Tensor, num_classes: int = -1) -> torch.Tensor | None:
    """`functional.one_hot` of so many classes: what equals the number of each."""
    if num_classes < 0:
        return None
    return (tensor.unsqueeze(-1) == torch.arange(num_classes)).to(torch.int64)


def repeat_interleave(
    input: torch.Tensor, repeats: Any, dim: int | None = None, *, output_size: Any = None
) -> torch.Tensor | None:
    """`torch.repeat_interleave` of all along an axis, equally often."""
    del output_size  # The size that the caller expects, which follows from the others.
    # While a model is traced, sizes are tensors without axes.
    size = torch.jit.is_tracing() and isinstance(repeats, torch.Tensor) and repeats.ndim == 0
    if input.ndim == 0 or (isinstance(repeats, torch.Tensor) and not size):
        return None
    flat, axis = (input.flatten(), 0) if dim is None else (input, dim % input.ndim)
    sizes = [-1] * flat.ndim
    sizes.insert(axis + 1, repeats)
    return flat.unsqueeze(axis + 1).expand(sizes).flatten(axis, axis + 1)


OWN: dict[str, Callable[..., torch.Tensor | None]] = {
    "broadcast_to": broadcast_to,
    "celu": celu,
    "channel_shuffle": channel_shuffle,
    "cumsum": cumsum,
    "diff": diff,
    "embedding_bag": embedding_bag,
    "erfc": erfc,
    "exp2": exp2,
    "fix": trunc,
    "frac": frac,
    "hypot": hypot,
    "interpolate": interpolate,
    "lerp": lerp,
    "log_sigmoid": log_sigmoid,
    "logaddexp": logaddexp,
    "moveaxis": movedim,
    "movedim": movedim,
    "new_full": new_full,
    "new_ones": new_ones,
    "new_zeros": new_zeros,
    "one_hot": one_hot,
    "repeat_interleave": repeat_interleave,
    "std_mean": std_mean,
    "take_along_dim": take_along_dim,
    "trunc": trunc,
    "view_as": view_as,
    "var_mean": var_mean,
}
"""By the name of PyTorch's function or method."""


def upsample_bicubic2d(
    input: torch.Tensor,
    output_size: Sequence[Any] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None = None,
) -> torch.Tensor | None:
    """The operator that `interpolate` calls."""
    return interpolate(input, output_size, scale_factors, "bicubic", align_corners)


def embedding_bag_operator(*given: Any, **named: Any) -> None:
    """The operator takes bags by where they begin, and no longer says whether all are of one size."""


IN_PROGRAMS: dict[str, Callable[..., torch.Tensor | None]] = {
    "embedding_bag": embedding_bag_operator,
    "upsample_bicubic2d": upsample_bicubic2d,
}
"""Operators in finished programs, where they take other arguments than the functions."""

TABLE = frozenset((
    "addcdiv", "addcmul", "addmv", "aminmax", "column_stack", "count_nonzero", "deg2rad", "dist",
    "dstack", "fliplr", "flipud", "float_power", "hardshrink", "isfinite", "isinf", "isneginf",
    "isposinf", "kron", "logit", "logspace", "nansum", "pairwise_distance", "positive", "rad2deg",
    "ravel", "renorm", "rot90", "sgn", "sinc", "softshrink", "tensor_split", "trapz",
    "tril_indices", "triu_indices", "vstack", "xlogy",
))  # fmt: skip
"""What PyTorch's own decompositions write with operators that every converter has."""

OPERATORS = {
    "fix": "trunc",
    "interpolate": "upsample_bicubic2d",
    "moveaxis": "movedim",
}
"""The operator that a graph has for a function of another name."""
