"""Convolutions over one to three spatial axes."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Ints, Tensor, operation
from . import padding

_CONVOLUTIONS = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}
_TRANSPOSED = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}


@operation("conv")
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Tensor:
    """The convolution of x [n, in, ...] with weight [out, in / groups, ...].

    Raises:
        Unsupported: `pad_type` is none of the documented ones.
    """
    rank = x.dim()
    ones = (1,) * (rank - 2)
    strides, dilations = strides or ones, dilations or ones
    before, after = padding.around(
        "conv", pad_type, pad, x.shape[2:], padding.spread(weight.shape[2:], dilations), strides
    )
    if before != after:
        x, before = padding.extended(x, before, after), (0,) * (rank - 2)
    return _CONVOLUTIONS[rank](x, weight, bias, strides, before, dilations, groups)


@operation("conv_transpose")
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Ints | None = None,
    output_shape: Ints | None = None,
    pad_type: str = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Tensor:
    """The gradient of `conv`: x [n, in, ...], weight [in, out / groups, ...].

    Each element of the input adds its kernel to the output, `strides` apart; `pad` is cut off. What an
    `output_shape` has beyond that is without a contribution at its end, as in PyTorch's
    `output_padding`.

    Raises:
        Unsupported: `pad_type` is none of the documented ones, or `output_shape` leaves open where to
            cut.
    """
    rank = x.dim()
    ones = (1,) * (rank - 2)
    strides, dilations = strides or ones, dilations or ones
    extents = padding.spread(weight.shape[2:], dilations)
    full = tuple(
        (size - 1) * stride + extent
        for size, stride, extent in zip(x.shape[2:], strides, extents, strict=True)
    )
    if pad_type == "same":
        wanted = output_shape[2:] if output_shape else _scaled(x.shape[2:], strides)
        before, after = _cut_as_the_forward_pads(full, wanted, strides, extents)
    elif pad_type in ("valid", "custom"):
        before, after = padding.around("conv_transpose", pad_type, pad, full, extents, strides)
        if output_shape is not None:
            # The far end gives way: negative amounts are elements that nothing contributes to.
            after = tuple(f - b - w for f, b, w in zip(full, before, output_shape[2:], strict=True))
    else:
        raise Unsupported(f"conv_transpose: its attribute pad_type is {pad_type!r}")
    symmetric = tuple(max(0, min(pair)) for pair in zip(before, after, strict=True))
    y = _TRANSPOSED[rank](x, weight, bias, strides, symmetric, 0, groups, dilations)
    before = tuple(b - s for b, s in zip(before, symmetric, strict=True))
    after = tuple(a - s for a, s in zip(after, symmetric, strict=True))
    if min(before) < 0:
        raise Unsupported("conv_transpose: its output_shape is larger than what its input reaches")
    if min(after) < 0:
        y = _with_bias_after(y, bias, after)
    return padding.cropped(y, before, tuple(max(0, a) for a in after))


def _scaled(sizes: Ints, strides: Ints) -> Ints:
    return tuple(size * stride for size, stride in zip(sizes, strides, strict=True))


def _cut_as_the_forward_pads(
    full: Ints, wanted: Ints, strides: Ints, extents: Ints
) -> tuple[Ints, Ints]:
    """What a convolution with `same` padding would have added to `wanted` elements."""
    before, _ = padding.around("conv_transpose", "same", None, wanted, extents, strides)
    return before, tuple(f - b - w for f, b, w in zip(full, before, wanted, strict=True))


def _with_bias_after(y: Tensor, bias: Tensor | None, after: Ints) -> Tensor:
    """`y` with elements after its ends that hold the bias alone."""
    room = [0 if a > 0 else -a for a in after]
    if bias is None:
        return padding.extended(y, (0,) * len(room), room)
    shape = (-1,) + (1,) * len(room)
    return padding.extended(y - bias.view(shape), (0,) * len(room), room) + bias.view(shape)
