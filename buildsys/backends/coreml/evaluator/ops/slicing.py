"""Slices: read, written, cut off."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..registry import Bools, Ints, Tensor, operation


@operation("slice_by_index")
def slice_by_index(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Tensor:
    """`x[begin[0]:end[0]:stride[0], ...]` as numpy slices.

    A mask takes a slice from the very start or to the very end; where `squeeze_mask` holds, the element
    at `begin` is picked and the axis is gone.
    """
    slices, turned = _slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    y = x[slices]
    if turned:
        y = torch.flip(y, turned)
    if squeeze_mask is not None:
        for axis in reversed([i for i, squeezed in enumerate(squeeze_mask) if squeezed]):
            y = torch.select(y, axis, 0)
    return y


@operation("slice_update")
def slice_update(
    x: Tensor,
    update: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Tensor:
    """`x` with `update` where `slice_by_index` would read."""
    slices, turned = _slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    y = x.clone()
    place = y[slices]
    values = update.reshape(place.shape)
    place.copy_(torch.flip(values, turned) if turned else values)
    return y


@operation("slice_by_size")
def slice_by_size(x: Tensor, begin: Ints, size: Ints) -> Tensor:
    """`size` elements from `begin` on each axis, with size -1 all that follow."""
    for axis, (first, amount) in enumerate(zip(begin, size, strict=True)):
        first = first + x.shape[axis] if first < 0 else first
        x = torch.narrow(x, axis, first, x.shape[axis] - first if amount == -1 else amount)
    return x


@operation("crop")
def crop(x: Tensor, crop_height: Ints, crop_width: Ints) -> Tensor:
    """`x` without some rows at the top and bottom, and columns at the left and right."""
    (top, bottom), (left, right) = crop_height, crop_width
    height, width = x.shape[-2:]
    return x[..., top : height - bottom, left : width - right]


def _slices(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None,
    begin_mask: Bools | None,
    end_mask: Bools | None,
    squeeze_mask: Bools | None,
) -> tuple[tuple[slice, ...], Sequence[int]]:
    """Slices with positive strides, as torch wants them, and the axes to turn around.

    What is squeezed is a slice of one element.
    """
    slices, turned = [], []
    for axis in range(x.dim()):
        first = None if begin_mask and begin_mask[axis] else begin[axis]
        if squeeze_mask and squeeze_mask[axis]:
            first = first or 0
            slices.append(slice(first, first + 1 or None))
            continue
        last = None if end_mask and end_mask[axis] else end[axis]
        step = stride[axis] if stride else 1
        if step > 0:
            slices.append(slice(first, last, step))
            continue
        places = range(*slice(first, last, step).indices(x.shape[axis]))
        slices.append(slice(places[-1], places[0] + 1, -step) if places else slice(0, 0))
        turned.append(axis)
    return tuple(slices), turned
