"""Images in another size: the last two axes, or the last few.

A sampling mode says where in the input, whose pixels are at 0, 1, …, the pixels of the output are
taken: see coremltools' `resize_bilinear`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Ints, Tensor, operation


@operation("resize_bilinear")
def resize_bilinear(
    x: Tensor,
    target_size_height: int = 1,
    target_size_width: int = 1,
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last two axes, linearly interpolated.

    Raises:
        Unsupported: The sampling mode is none of the documented ones.
    """
    return linear("resize_bilinear", x, (target_size_height, target_size_width), sampling_mode)


@operation("resize_nearest_neighbor")
def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    """The last two axes; each pixel is the one that its centre lies in.

    (Said by the reference results of coremltools' tests and by what it converts to it, not by its
    documentation.)
    """
    return _nearest(x, (target_size_height, target_size_width))


@operation("upsample_bilinear")
def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1.0,
    scale_factor_width: float = 1.0,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """The last two axes times a factor, linearly interpolated; fractions of a pixel are cut off.

    Raises:
        Unsupported: Both corners and centres are to be aligned.
    """
    sizes = _scaled(x, scale_factor_height, scale_factor_width)
    if half_pixel_centers is None:
        half_pixel_centers = not align_corners
    if align_corners and half_pixel_centers:
        raise Unsupported("upsample_bilinear: both align_corners and half_pixel_centers")
    if align_corners:
        return linear("upsample_bilinear", x, sizes, "STRICT_ALIGN_CORNERS")
    return linear(
        "upsample_bilinear", x, sizes, "UNALIGN_CORNERS" if half_pixel_centers else "DEFAULT"
    )


@operation("upsample_nearest_neighbor")
def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: float = 1.0, scale_factor_width: float = 1.0
) -> Tensor:
    """The last two axes times a factor; each pixel is the one that its upper left corner lies in.

    Fractions of a pixel are cut off from the sizes, and the ratio of the sizes is what counts then
    (coremltools' tests).
    """
    sizes = _scaled(x, scale_factor_height, scale_factor_width)
    if all(size % old == 0 for size, old in zip(sizes, x.shape[-2:], strict=True)):
        return F.interpolate(_batch(x), sizes, mode="nearest").reshape(*x.shape[:-2], *sizes)
    for axis, size in zip((-2, -1), sizes, strict=True):
        x = torch.index_select(x, axis, torch.arange(size) * x.shape[axis] // size)
    return x


@operation("resize")
def resize(
    x: Tensor,
    shape: Ints,
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last `resized_dims` axes in the sizes that `shape` ends with; 0 leaves a size.

    Raises:
        Unsupported: A mode is none of the documented ones, or pixels are picked (not interpolated) in
            a sampling mode for which it isn't documented which.
    """
    wanted = shape[len(shape) - resized_dims :]
    sizes = tuple(
        size or old for size, old in zip(wanted, x.shape[x.dim() - resized_dims :], strict=True)
    )
    if interpolation_mode == "LINEAR":
        return linear("resize", x, sizes, sampling_mode)
    if interpolation_mode != "NEAREST_NEIGHBOR":
        raise Unsupported(f"resize: its attribute interpolation_mode is {interpolation_mode!r}")
    if sampling_mode != "DEFAULT":
        raise Unsupported(
            f"resize: its attribute sampling_mode is {sampling_mode!r} with the nearest neighbour"
        )
    return _nearest(x, sizes)


def linear(name: str, x: Tensor, sizes: Ints, sampling_mode: str) -> Tensor:
    """The last axes in other sizes, linearly interpolated along each."""
    corners = sampling_mode == "STRICT_ALIGN_CORNERS"
    if len(sizes) == 2 and (corners or sampling_mode == "UNALIGN_CORNERS"):
        y = F.interpolate(_batch(x), sizes, mode="bilinear", align_corners=corners)
        return y.reshape(*x.shape[:-2], *sizes)
    for axis, size in enumerate(sizes, x.dim() - len(sizes)):
        old = x.shape[axis]
        points = grid(name, old, size, sampling_mode).clamp_(0, old - 1)
        low = points.floor()
        weight = (points - low).to(torch.float32).view(-1, *(1,) * (x.dim() - 1 - axis))
        first = low.to(torch.int64)
        lower = torch.index_select(x, axis, first)
        upper = torch.index_select(x, axis, torch.clamp(first + 1, max=old - 1))
        x = torch.lerp(lower, upper, weight)
    return x


def grid(name: str, old: float, new: int, sampling_mode: str) -> Tensor:
    """Where the `new` points lie among points at 0, 1, …, `old - 1` (float64).

    Raises:
        Unsupported: The sampling mode is none of the documented ones.
    """
    steps = torch.arange(new, dtype=torch.float64)
    if sampling_mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if new > 1:
            return steps * ((old - 1) / (new - 1))
        return steps if sampling_mode == "STRICT_ALIGN_CORNERS" else steps + (old - 1) / 2
    if sampling_mode == "DEFAULT":
        return steps * (old / new)
    if sampling_mode == "OFFSET_CORNERS":
        return (steps + 0.5) * (max(1, old - 1) / new)
    if sampling_mode == "UNALIGN_CORNERS":
        return (steps + 0.5) * (old / new) - 0.5
    raise Unsupported(f"{name}: its attribute sampling_mode is {sampling_mode!r}")


def _nearest(x: Tensor, sizes: Ints) -> Tensor:
    for axis, size in enumerate(sizes, x.dim() - len(sizes)):
        places = (2 * torch.arange(size) + 1) * x.shape[axis] // (2 * size)
        x = torch.index_select(x, axis, places)
    return x


def _batch(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x.reshape(1, -1, *x.shape[-2:])


def _scaled(x: Tensor, *factors: float) -> Ints:
    """Sizes times factors, multiplied as float32: ten times 0.7 are seven."""
    if all(float(factor).is_integer() for factor in factors):
        return tuple(size * int(f) for size, f in zip(x.shape[-2:], factors, strict=True))
    sizes = torch.tensor(x.shape[-2:], dtype=torch.float32) * torch.tensor(factors)
    return tuple(math.floor(size) for size in sizes.tolist())
