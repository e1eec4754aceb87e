"""Weights that are stored compressed: the `constexpr_*` operations, decoded when a program is loaded.

The arithmetic is that of coremltools' own decompression, in the same types and the same order, so that a
compressed package and its decompressed copy give equal bits. Up to iOS17 an operation keeps flat, packed
data and the sizes beside it; from iOS18 on arrays keep their own sizes, and some types are below a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kit.protocol.request import StepError
from .constants import Constant
from .dtypes import unpacked

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Given = Mapping[str, Constant]

PREFIX = "constexpr_"


def decode(operation: str, given: Given) -> Arrays:
    """What an operation gives.

    Args:
        operation: For example `constexpr_lut_to_dense`.
        given: Its inputs and attributes by name.

    Raises:
        StepError: The operation, or one of its inputs, is not known, or inputs do not fit each other.
    """
    if operation not in _DECODERS:
        raise StepError(f"the operation `{operation}` is not evaluated")
    decoder, needed, optional = _DECODERS[operation][-1]
    for form, required, allowed in _DECODERS[operation]:
        if required <= given.keys():
            decoder, needed, optional = form, required, allowed
            break
    missing, unknown = needed - given.keys(), given.keys() - needed - optional
    if missing or unknown:
        what = f"lacks `{min(missing)}`" if missing else f"has an unknown input `{min(unknown)}`"
        raise StepError(f"the operation `{operation}` {what}")
    return decoder(given)


def known(operation: str) -> bool:
    """Whether an operation can be decoded."""
    return operation in _DECODERS


def _affine(given: Given) -> Arrays:
    data = given["quantized_data"].array
    axis = int(given["axis"].array)
    scale = _along(given["scale"].array, data, axis)
    result = data.astype(np.float32)
    result -= _along(given["zero_point"].array, data, axis).astype(np.float32)
    result *= scale
    return (result.astype(scale.dtype),)


def _along(parameter: Array, data: Array, axis: int) -> Array:
    """A number, or one for each place of an axis, with as many axes as the data."""
    if parameter.ndim == 0:
        return parameter.reshape((1,) * data.ndim)
    if parameter.ndim != 1 or parameter.size not in (1, data.shape[axis]):
        raise StepError(f"{parameter.shape} numbers do not fit axis {axis} of {data.shape}")
    shape = [1] * data.ndim
    shape[axis] = parameter.size
    return parameter.reshape(shape)


def _cast(given: Given) -> Arrays:
    wanted = given["output_dtype"].value
    if wanted != "fp32":
        raise StepError(f"`{PREFIX}cast` to `{wanted}` is not evaluated")
    return (given["source_val"].array.astype(np.float32),)


def _packed_lut(given: Given) -> Arrays:
    lut, packed, shape = given["lut"].array, given["indices"].array, _sizes(given["shape"])
    bits = lut.size.bit_length() - 1
    if lut.ndim != 1 or lut.size != 1 << bits or bits not in (1, 2, 4, 6, 8):
        raise StepError(f"a palette of {lut.shape} entries is not one of 2, 4, 16, 64 or 256")
    if packed.size != -(-bits * prod(shape) // 8):
        raise StepError(f"{packed.size} bytes do not hold {prod(shape)} indices of {bits} bits")
    return (lut[unpacked(packed, prod(shape), f"UINT{bits}")].reshape(shape),)


def _packed_sparse(given: Given) -> Arrays:
    nonzero, packed, shape = (
        given["nonzero_data"].array,
        given["mask"].array,
        _sizes(given["shape"]),
    )
    if packed.size != -(-prod(shape) // 8):
        raise StepError(f"a mask of {packed.size} bytes does not fit {prod(shape)} elements")
    bits = np.unpackbits(packed, bitorder="little")
    if bits[prod(shape) :].any():
        raise StepError("a mask has bits beyond its last element")
    return (_dense(nonzero, bits[: prod(shape)].reshape(shape)),)


def _sizes(shape: Constant) -> tuple[int, ...]:
    return tuple(int(size) for size in shape.array)


def _dense(nonzero: Array, mask: Array) -> Array:
    chosen = mask != 0
    if nonzero.ndim != 1 or np.count_nonzero(chosen) != nonzero.size:
        raise StepError(
            f"a mask has {np.count_nonzero(chosen)} bits for {nonzero.size} elements that are not 0"
        )
    result: Array = np.zeros(mask.shape, nonzero.dtype)
    result[chosen] = nonzero
    return result


def _blockwise(data: Array, scale: Array, offset: Array | None) -> Array:
    """`scale * (data - offset)`, computed in the type of the scale."""
    if scale.ndim != data.ndim or any(
        whole % part for whole, part in zip(data.shape, scale.shape, strict=True)
    ):
        raise StepError(f"blocks of {scale.shape} scales do not divide data of {data.shape}")
    if offset is not None and offset.shape != scale.shape:
        raise StepError(f"{offset.shape} offsets do not fit {scale.shape} scales")
    result: Array = data.astype(scale.dtype)
    if offset is not None:
        result = result - _spread(offset, data.shape)
    result = _spread(scale, data.shape) * result
    return result.astype(scale.dtype, copy=False)


def _spread(parameter: Array, shape: tuple[int, ...]) -> Array:
    """Each number as often as its block is long, along every axis."""
    for axis, (whole, part) in enumerate(zip(shape, parameter.shape, strict=True)):
        if 1 < part < whole:  # Where there is one, numpy repeats it without making a copy.
            parameter = np.repeat(parameter, whole // part, axis)
    return parameter


def _shift_scale(given: Given) -> Arrays:
    offset = given["offset"].array if "offset" in given else None
    return (_blockwise(given["data"].array, given["scale"].array, offset),)


def _looked_up(indices: Array, lut: Array, axis: int | None) -> Array:
    """Palette entries of indices; each block of an axis has a palette of its own.

    Args:
        indices: [d0, …].
        lut: [b0, …, entries, length of a vector]; each b divides its d.
        axis: Along which vectors are laid out; needed where they are longer than 1.
    """
    if lut.ndim != indices.ndim + 2 or any(
        whole % part for whole, part in zip(indices.shape, lut.shape[:-2], strict=True)
    ):
        raise StepError(f"palettes of {lut.shape} do not fit indices of {indices.shape}")
    places = [
        (np.arange(whole) // (whole // part)).reshape(
            [-1 if i == n else 1 for i in range(indices.ndim)]
        )
        for n, (whole, part) in enumerate(zip(indices.shape, lut.shape[:-2], strict=True))
    ]
    entries: Array = lut[(*places, indices)]  # [d0, …, length of a vector]
    if axis is None and lut.shape[-1] > 1:
        raise StepError("a palette of vectors lacks `vector_axis`")
    axis = (axis or 0) % indices.ndim
    shape = list(indices.shape)
    shape[axis] *= lut.shape[-1]
    return np.moveaxis(entries, -1, axis + 1).reshape(shape)


def _axis(given: Given) -> int | None:
    return int(given["vector_axis"].array) if "vector_axis" in given else None


def _lut(given: Given) -> Arrays:
    return (_looked_up(given["indices"].array, given["lut"].array, _axis(given)),)


def _sparse(given: Given) -> Arrays:
    return (_dense(given["nonzero_data"].array, given["mask"].array),)


def _sparse_lut(given: Given) -> Arrays:
    mask, lut, axis = given["indices_mask"].array, given["lut"].array, _axis(given)
    dense = _looked_up(_dense(given["indices_nonzero_data"].array, mask), lut, axis)
    if axis is not None:
        mask = np.repeat(mask, lut.shape[-1], axis)
    return mask, dense[mask != 0]


def _sparse_shift_scale(given: Given) -> Arrays:
    mask = given["data_mask"].array
    offset = given["offset"].array if "offset" in given else None
    dense = _blockwise(_dense(given["nonzero_data"].array, mask), given["scale"].array, offset)
    return mask, dense[mask != 0]


_Form = tuple[Callable[[Given], Arrays], frozenset[str], frozenset[str]]


def _form(decoder: Callable[[Given], Any], needed: str, optional: str = "") -> _Form:
    return decoder, frozenset(needed.split()), frozenset(optional.split())


_DECODERS: dict[str, tuple[_Form, ...]] = {
    "constexpr_affine_dequantize": (_form(_affine, "quantized_data zero_point scale axis"),),
    "constexpr_cast": (_form(_cast, "source_val output_dtype"),),
    "constexpr_lut_to_dense": (
        _form(_packed_lut, "indices lut shape"),
        _form(_lut, "indices lut", "vector_axis"),
    ),
    "constexpr_sparse_to_dense": (
        _form(_packed_sparse, "nonzero_data mask shape"),
        _form(_sparse, "nonzero_data mask"),
    ),
    "constexpr_blockwise_shift_scale": (_form(_shift_scale, "data scale", "offset"),),
    "constexpr_lut_to_sparse": (
        _form(_sparse_lut, "indices_mask indices_nonzero_data lut", "vector_axis"),
    ),
    "constexpr_sparse_blockwise_shift_scale": (
        _form(_sparse_shift_scale, "data_mask nonzero_data scale", "offset"),
    ),
}
"""Forms by operation: what decodes, inputs that it needs, and those that may be absent."""
