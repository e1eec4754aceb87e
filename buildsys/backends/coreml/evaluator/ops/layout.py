"""Elements in another order, together or apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Ints, Tensor, Tensors, operation


@operation("transpose")
def transpose(x: Tensor, perm: Ints) -> Tensor:
    """Axis `i` of the result is axis `perm[i]` of `x`."""
    return torch.permute(x, perm)


@operation("concat")
def concat(values: Tensors, axis: int, interleave: bool = False) -> Tensor:
    """The tensors one after the other along an axis, or by turns."""
    if not values[0].dim():
        return torch.stack(values)
    if not interleave:
        return torch.cat(values, axis)
    axis %= values[0].dim()
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


@operation("stack")
def stack(values: Tensors, axis: int) -> Tensor:
    """The tensors one after the other along a new axis."""
    return torch.stack(values, axis)


@operation("split")
def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None
) -> Tensors:
    """Pieces of `x` along an axis, of given sizes or as many equal ones.

    Raises:
        Unsupported: Neither is given, or they do not go with the size of `x`.
    """
    size = x.shape[axis]
    if split_sizes is None:
        if not num_splits or size % num_splits:
            raise Unsupported(f"split: {size} elements in {num_splits} equal pieces")
        split_sizes = (size // num_splits,) * num_splits
    elif num_splits is not None and num_splits != len(split_sizes):
        raise Unsupported(f"split: {num_splits} pieces of {len(split_sizes)} sizes")
    return tuple(torch.split(x, split_sizes, axis))


@operation("tile")
def tile(x: Tensor, reps: Ints) -> Tensor:
    """`x` repeated along each axis."""
    return x.repeat(reps)


@operation("reverse")
def reverse(x: Tensor, axes: Ints | None = None) -> Tensor:
    """`x` backwards along these axes, by default along all."""
    return torch.flip(x, tuple(range(x.dim())) if axes is None else axes)


@operation("reverse_sequence")
def reverse_sequence(x: Tensor, lengths: Tensor, seq_axis: int = 0, batch_axis: int = 0) -> Tensor:
    """The first `lengths[b]` elements along `seq_axis` backwards, for each `b` along `batch_axis`."""
    size = x.shape[seq_axis]
    place = torch.arange(size)
    ends = lengths.to(torch.int64).unsqueeze(1)
    places = torch.where(place < ends, ends - 1 - place, place)  # [batch, sequence]
    shape = [1] * x.dim()
    shape[batch_axis], shape[seq_axis] = places.shape
    if batch_axis % x.dim() > seq_axis % x.dim():
        places = places.T
    return torch.gather(x, seq_axis, places.reshape(shape).expand(x.shape))


@operation("pad")
def pad(x: Tensor, pad: Ints, mode: str = "constant", constant_val: Tensor | None = None) -> Tensor:
    """Elements around the last axes: before and after the first of them, of the second, ….

    Raises:
        Unsupported: The mode is none of the documented ones.
    """
    count = len(pad) // 2
    if mode == "constant":
        value = 0.0 if constant_val is None else constant_val.item()
        amounts = [pad[2 * i + side] for i in reversed(range(count)) for side in (0, 1)]
        return F.pad(x, amounts, value=value)
    if mode not in ("reflect", "replicate"):
        raise Unsupported(f"pad: its attribute mode is {mode!r}")
    for axis, before, after in zip(
        range(x.dim() - count, x.dim()), pad[0::2], pad[1::2], strict=True
    ):
        if before or after:
            size = x.shape[axis]
            place = torch.arange(-before, size + after)
            if mode == "reflect":
                place = size - 1 - (size - 1 - place.abs()).abs()
            x = torch.index_select(x, axis, place.clamp_(0, size - 1))
    return x


@operation("band_part")
def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    """The innermost matrices with zeros outside a band; a negative bound keeps that side whole."""
    if lower >= 0:
        x = torch.triu(x, -lower)
    return torch.tril(x, upper) if upper >= 0 else x


@operation("depth_to_space")
def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """Channels become blocks of pixels: the block's place counts before the channel."""
    n, c, h, w = x.shape
    b = block_size
    blocks = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // (b * b), h * b, w * b)


@operation("space_to_depth")
def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    """Blocks of pixels become channels: the block's place counts before the channel."""
    n, c, h, w = x.shape
    b = block_size
    blocks = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * b * b, h // b, w // b)


@operation("pixel_shuffle")
def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Channels become blocks of pixels: the channel counts before the block's place."""
    return torch.pixel_shuffle(x, upscale_factor)


@operation("pixel_unshuffle")
def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """Blocks of pixels become channels: the channel counts before the block's place."""
    return torch.pixel_unshuffle(x, downscale_factor)


@operation("space_to_batch")
def space_to_batch(x: Tensor, block_shape: Ints, paddings: Tensor) -> Tensor:
    """Blocks of pixels, after padding with zeros, become samples: [place in the block, sample]."""
    (top, bottom), (left, right) = paddings.tolist()
    x = F.pad(x, (left, right, top, bottom))
    n, c, h, w = x.shape
    a, b = block_shape
    blocks = x.reshape(n, c, h // a, a, w // b, b).permute(3, 5, 0, 1, 2, 4)
    return blocks.reshape(a * b * n, c, h // a, w // b)


@operation("batch_to_space")
def batch_to_space(x: Tensor, block_shape: Ints, crops: Tensor) -> Tensor:
    """The inverse of `space_to_batch`, then cropped."""
    (top, bottom), (left, right) = crops.tolist()
    n, c, h, w = x.shape
    a, b = block_shape
    blocks = x.reshape(a, b, n // (a * b), c, h, w).permute(2, 3, 4, 0, 5, 1)
    whole = blocks.reshape(n // (a * b), c, h * a, w * b)
    return whole[:, :, top : h * a - bottom, left : w * b - right]


@operation("sliding_windows")
def sliding_windows(x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    """All windows along an axis: [..., window, place in it, ...]."""
    axis %= x.dim()
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)
