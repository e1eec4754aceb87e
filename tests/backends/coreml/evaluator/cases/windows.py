"""Convolutions and pools, by loops over the elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..case import Array, At, Case, floats

Sizes = tuple[int, ...]


def _pads(
    pad_type: str, pad: Sizes | None, sizes: Sizes, window: Sizes, strides: Sizes
) -> list[tuple[int, int]]:
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        assert pad is not None
        return list(zip(pad[0::2], pad[1::2], strict=True))
    pads = []
    for size, extent, stride in zip(sizes, window, strides, strict=True):
        # As many outputs as strides begin in the input: what their windows need beyond it.
        total = max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if pad_type == "same" else (large, small))
    return pads


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Sizes | None = None,
    pad_type: str = "valid",
    pad: Sizes | None = None,
    dilations: Sizes | None = None,
    groups: int = 1,
) -> Array:
    rank = x.ndim - 2
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    kernel = weight.shape[2:]
    window = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    pads = _pads(pad_type, pad, x.shape[2:], window, strides)
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *pads])
    sizes = [(n - w) // s + 1 for n, w, s in zip(x.shape[2:], window, strides, strict=True)]
    y = np.zeros((x.shape[0], weight.shape[0], *sizes))
    per_in, per_out = weight.shape[1], weight.shape[0] // groups
    for out in range(weight.shape[0]):
        first = out // per_out * per_in
        part = x[:, first : first + per_in]
        for place in itertools.product(*(range(n) for n in sizes)):
            for tap in itertools.product(*(range(k) for k in kernel)):
                at = tuple(
                    p * s + t * d for p, s, t, d in zip(place, strides, tap, dilations, strict=True)
                )
                to: At = (slice(None), out, *place)
                read: At = (slice(None), slice(None), *at)
                by: At = (out, slice(None), *tap)
                y[to] += part[read] @ weight[by]
        if bias is not None:
            y[:, out] += bias[out]
    return y


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Sizes | None = None,
    output_shape: Sizes | None = None,
    pad_type: str = "valid",
    strides: Sizes | None = None,
    dilations: Sizes | None = None,
    groups: int = 1,
) -> Array:
    rank = x.ndim - 2
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    kernel = weight.shape[2:]
    window = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    if output_shape is not None:
        wanted = list(output_shape[2:])
    elif pad_type == "same":
        wanted = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    else:
        given = pad if pad_type == "custom" and pad else (0,) * 2 * rank
        wanted = [
            (n - 1) * s + w - given[2 * i] - given[2 * i + 1]
            for i, (n, s, w) in enumerate(zip(x.shape[2:], strides, window, strict=True))
        ]
    # The gradient of a convolution from `wanted` to the input's sizes: elements that its padding
    # stood for are dropped.
    before = [low for low, _ in _pads(pad_type, pad, tuple(wanted), window, strides)]
    y = np.zeros((x.shape[0], weight.shape[1] * groups, *wanted))
    per_in, per_out = x.shape[1] // groups, weight.shape[1]
    for channel in range(x.shape[1]):
        first = channel // per_in * per_out
        for place in itertools.product(*(range(n) for n in x.shape[2:])):
            for tap in itertools.product(*(range(k) for k in kernel)):
                at = tuple(
                    p * s + t * d - b
                    for p, s, t, d, b in zip(place, strides, tap, dilations, before, strict=True)
                )
                if all(0 <= a < n for a, n in zip(at, wanted, strict=True)):
                    to: At = (slice(None), slice(first, first + per_out), *at)
                    read: At = (slice(None), channel, *place)
                    by: At = (channel, slice(None), *tap)
                    y[to] += np.outer(x[read], weight[by])
    return y if bias is None else y + bias.reshape(1, -1, *(1,) * rank)


def pool(
    reduce: Callable[[Array, int], Any],
    x: Array,
    kernel_sizes: Sizes,
    pad_type: str,
    strides: Sizes | None = None,
    pad: Sizes | None = None,
    ceil_mode: bool = False,
) -> Array:
    """Each window's elements, NaN where it lies on padding, reduced.

    `reduce` gets them and how many elements of the padded input the window covers.
    """
    rank = x.ndim - 2
    strides = strides or (1,) * rank
    pads = _pads(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *pads], constant_values=np.nan)
    sizes = []
    for i, (k, s) in enumerate(zip(kernel_sizes, strides, strict=True)):
        room = padded.shape[2 + i] - k
        count = (math.ceil(room / s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= x.shape[2 + i] + pads[i][0]:
            count -= 1  # PyTorch's rule: no window begins in the padding at the end.
        sizes.append(count)
    y = np.empty((*x.shape[:2], *sizes))
    for place in itertools.product(*(range(n) for n in sizes)):
        window = tuple(
            slice(p * s, p * s + k) for p, s, k in zip(place, strides, kernel_sizes, strict=True)
        )
        at: At = (slice(None), slice(None), *window)
        to: At = (slice(None), slice(None), *place)
        covered = padded[at]
        count = int(np.prod(covered.shape[2:]))
        y[to] = reduce(covered.reshape(*x.shape[:2], -1), count)
    return y


def _largest(elements: Array, count: int) -> Any:
    return np.nanmax(elements, -1)


def _mean(elements: Array, count: int) -> Any:
    return np.nansum(elements, -1) / count


def _mean_inside(elements: Array, count: int) -> Any:
    return np.nanmean(elements, -1)


def _length(elements: Array, count: int) -> Any:
    return np.sqrt(np.nansum(elements**2, -1))


LINE, IMAGE, VOLUME = floats(2, 4, 9), floats(2, 4, 6, 7), floats(1, 2, 4, 5, 3)
ODD, EVEN = floats(6, 4, 3, 3), floats(6, 4, 2, 4)
BIAS = floats(6)
_CONVS: list[tuple[Array, Array, dict[str, Any]]] = [
    (LINE, floats(3, 4, 3), {}),
    (LINE, floats(3, 4, 3), {"strides": (2,), "pad_type": "custom", "pad": (2, 1)}),
    (IMAGE, ODD, {"bias": BIAS}),
    (IMAGE, ODD, {"pad_type": "custom", "pad": (1, 1, 2, 2), "strides": (2, 1)}),
    (IMAGE, ODD, {"pad_type": "custom", "pad": (0, 1, 2, 0)}),
    (IMAGE, ODD, {"pad_type": "same"}),
    (IMAGE, ODD, {"pad_type": "same", "strides": (2, 2)}),
    (IMAGE, EVEN, {"pad_type": "same", "strides": (2, 3)}),
    (IMAGE, EVEN, {"pad_type": "same_lower"}),
    (IMAGE, ODD, {"pad_type": "same_lower", "strides": (2, 2)}),
    (IMAGE, ODD, {"dilations": (2, 3)}),
    (IMAGE, ODD, {"dilations": (2, 1), "pad_type": "same"}),
    (IMAGE, floats(6, 2, 3, 3), {"groups": 2, "bias": BIAS}),
    (IMAGE, floats(8, 1, 3, 3), {"groups": 4, "pad_type": "same"}),
    (IMAGE, ODD, {"pad_type": "valid", "pad": (1, 1, 1, 1)}),
    (VOLUME, floats(3, 2, 2, 3, 1), {"strides": (1, 2, 1), "bias": BIAS[:3]}),
]
_TRANSPOSED: list[tuple[Array, Array, dict[str, Any]]] = [
    (LINE, floats(4, 3, 3), {}),
    (LINE, floats(4, 3, 3), {"strides": (3,), "bias": BIAS[:3]}),
    (IMAGE, floats(4, 3, 3, 2), {"strides": (2, 3)}),
    (IMAGE, floats(4, 3, 3, 3), {"strides": (2, 2), "pad_type": "custom", "pad": (1, 1, 1, 1)}),
    (IMAGE, floats(4, 3, 3, 3), {"strides": (2, 2), "pad_type": "custom", "pad": (1, 0, 0, 2)}),
    (IMAGE, floats(4, 3, 3, 3), {"strides": (2, 2), "pad_type": "same"}),
    (IMAGE, floats(4, 3, 4, 3), {"strides": (1, 2), "pad_type": "same", "bias": BIAS[:3]}),
    (
        IMAGE,
        floats(4, 3, 3, 3),
        {"strides": (2, 2), "pad_type": "same", "output_shape": (2, 3, 11, 14)},
    ),
    (
        IMAGE,
        floats(4, 3, 3, 3),
        {"strides": (2, 2), "pad_type": "valid", "output_shape": (2, 3, 14, 16), "bias": BIAS[:3]},
    ),
    (IMAGE, floats(4, 3, 1, 1), {"strides": (2, 2), "pad_type": "same", "bias": BIAS[:3]}),
    (IMAGE, floats(4, 3, 3, 3), {"dilations": (2, 1)}),
    (IMAGE, floats(4, 3, 3, 3), {"groups": 2, "bias": BIAS}),
    (VOLUME, floats(2, 3, 2, 1, 2), {"strides": (2, 1, 1)}),
]
_POOLS: list[tuple[Array, dict[str, Any]]] = [
    (LINE, {"kernel_sizes": (3,), "pad_type": "valid"}),
    (LINE, {"kernel_sizes": (2,), "strides": (2,), "pad_type": "valid", "ceil_mode": True}),
    (IMAGE, {"kernel_sizes": (2, 3), "strides": (2, 2), "pad_type": "valid"}),
    (IMAGE, {"kernel_sizes": (3, 3), "strides": (2, 2), "pad_type": "custom", "pad": (1, 1, 1, 1)}),
    (IMAGE, {"kernel_sizes": (3, 3), "pad_type": "custom", "pad": (0, 1, 2, 0)}),
    (IMAGE, {"kernel_sizes": (3, 2), "pad_type": "custom", "pad": (2, 2, 1, 1)}),
    (IMAGE, {"kernel_sizes": (3, 2), "strides": (2, 2), "pad_type": "same"}),
    (IMAGE, {"kernel_sizes": (2, 2), "pad_type": "same_lower"}),
    (
        IMAGE,
        {
            "kernel_sizes": (3, 3),
            "strides": (2, 3),
            "pad_type": "custom",
            "pad": (1, 1, 1, 1),
            "ceil_mode": True,
        },
    ),
]
_VOLUMES: list[tuple[Array, dict[str, Any]]] = [
    (VOLUME, {"kernel_sizes": (2, 3, 2), "strides": (1, 2, 1), "pad_type": "valid"}),
    (VOLUME, {"kernel_sizes": (2, 3, 3), "pad_type": "same"}),
]


def _pools() -> list[Case]:
    cases = []
    for name, reduce in (("max_pool", _largest), ("avg_pool", _mean), ("l2_pool", _length)):
        for x, attributes in _POOLS + ([] if name == "l2_pool" else _VOLUMES):
            given = {"x": x, **attributes}
            cases.append(Case(name, given, pool(reduce, **given)))
    for x, attributes in _POOLS + _VOLUMES:
        given = {"x": x, **attributes}
        expected = pool(_mean_inside, **given)
        given["exclude_padding_from_average"] = True
        cases.append(Case("avg_pool", given, expected))
    cases += [
        Case(name, {"x": IMAGE, "kernel_sizes": (2, 2), "pad_type": "full"}, "Unsupported")
        for name in ("max_pool", "avg_pool", "l2_pool")
    ]
    return cases


CASES = [
    *(Case("conv", {"x": x, "weight": w, **a}, conv(x, w, **a)) for x, w, a in _CONVS),
    *(
        Case("conv_transpose", {"x": x, "weight": w, **a}, conv_transpose(x, w, **a))
        for x, w, a in _TRANSPOSED
    ),
    Case("conv", {"x": IMAGE, "weight": ODD, "pad_type": "full"}, "Unsupported"),
    Case("conv", {"x": IMAGE, "weight": ODD, "pad_type": "custom"}, "Unsupported"),
    Case("conv_transpose", {"x": LINE, "weight": floats(4, 3, 3), "pad_type": "?"}, "Unsupported"),
    *_pools(),
]
