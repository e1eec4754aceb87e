"""How many elements an operation with a window sees around its input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Ints, Tensor


@lru_cache(maxsize=1024)
def around(
    name: str, pad_type: str, pad: Ints | None, sizes: Sequence[int], window: Ints, strides: Ints
) -> tuple[Ints, Ints]:
    """What is added before and after each spatial axis.

    With `same` the output has `ceil(size / stride)` elements and the larger half of the padding comes
    after, with `same_lower` before (coremltools' `aggregated_pad`).

    Args:
        name: The operation.
        pad_type: `valid`, `custom`, `same` or `same_lower`.
        pad: Before and after the first spatial axis, before and after the second, ….
        sizes: The input's spatial sizes.
        window: The window's extents, gaps of a dilation included.
        strides: Steps of the window.

    Raises:
        Unsupported: The type is none of those, or the padding is missing.
    """
    if pad_type == "valid":
        none = (0,) * len(window)
        return none, none
    if pad_type == "custom":
        if pad is None:
            raise Unsupported(f"{name}: its attribute pad_type is 'custom' and pad is missing")
        return pad[0::2], pad[1::2]
    if pad_type not in ("same", "same_lower"):
        raise Unsupported(f"{name}: its attribute pad_type is {pad_type!r}")
    total = tuple(
        max(0, (-(-size // stride) - 1) * stride + extent - size)
        for size, extent, stride in zip(sizes, window, strides, strict=True)
    )
    small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (small, large) if pad_type == "same" else (large, small)


def extended(x: Tensor, before: Iterable[int], after: Iterable[int], value: float = 0.0) -> Tensor:
    """The last axes of `x` with constant elements around them."""
    pairs = list(zip(before, after, strict=True))
    return F.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=value)


@lru_cache(maxsize=1024)
def spread(kernel: Sequence[int], dilations: Ints) -> Ints:
    """How far a dilated kernel reaches."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))


def cropped(x: Tensor, before: Ints, after: Ints) -> Tensor:
    """`x` without some elements at the ends of its last axes; negative amounts are an error."""
    first = x.dim() - len(before)
    for axis, (low, high) in enumerate(zip(before, after, strict=True), first):
        if low or high:
            x = torch.narrow(x, axis, low, x.shape[axis] - low - high)
    return x
