"""How each type of an ML program's values is stored, in files and while it is computed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Dtype:
    """A type of elements.

    Attributes:
        array: numpy's type of an array of them; types below a byte take the next larger one.
        bits: Width of one in a weight file.
        blob: The number that a weight file has for it; `None`: it never stands in one.
        tensor: torch's type while it is computed with: floats of all widths are float32, and whole
            numbers that torch hardly computes with take the next larger type.
    """

    array: type[np.generic]
    bits: int
    blob: int | None
    tensor: torch.dtype

    @property
    def floating(self) -> bool:
        """Whether it is a type of floats."""
        return issubclass(self.array, np.floating)


DTYPES = {
    "BOOL": Dtype(np.bool_, 8, None, torch.bool),
    "FLOAT16": Dtype(np.float16, 16, 1, torch.float32),
    "FLOAT32": Dtype(np.float32, 32, 2, torch.float32),
    "FLOAT64": Dtype(np.float64, 64, None, torch.float32),
    "INT4": Dtype(np.int8, 4, 8, torch.int8),
    "INT8": Dtype(np.int8, 8, 4, torch.int8),
    "INT16": Dtype(np.int16, 16, 6, torch.int16),
    "INT32": Dtype(np.int32, 32, 14, torch.int32),
    "INT64": Dtype(np.int64, 64, None, torch.int64),
    "UINT1": Dtype(np.uint8, 1, 9, torch.uint8),
    "UINT2": Dtype(np.uint8, 2, 10, torch.uint8),
    "UINT3": Dtype(np.uint8, 3, 12, torch.uint8),
    "UINT4": Dtype(np.uint8, 4, 11, torch.uint8),
    "UINT6": Dtype(np.uint8, 6, 13, torch.uint8),
    "UINT8": Dtype(np.uint8, 8, 3, torch.uint8),
    "UINT16": Dtype(np.uint16, 16, 7, torch.int32),
    "UINT32": Dtype(np.uint32, 32, 15, torch.int64),
}
"""By the specification's word. `STRING` is no type of arrays; float8 and bfloat16 are not known here."""


def unpacked(packed: np.ndarray, count: int, name: str) -> np.ndarray:
    """Elements narrower than a byte, which are packed from the lowest bit of the first byte on.

    Args:
        packed: Bytes, [n]; they must hold `count` elements at least.
        count: How many elements there are.
        name: Their type, for example `INT4`.

    Returns:
        [count], of the type that the element's `array` says.
    """
    dtype = DTYPES[name]
    if dtype.bits == 8:
        return packed[:count].view(dtype.array)
    if dtype.bits == 4:
        elements = np.empty(2 * len(packed), np.uint8)
        elements[0::2], elements[1::2] = packed & 15, packed >> 4
    else:
        bits = np.unpackbits(packed, bitorder="little")[: count * dtype.bits]
        weights = (1 << np.arange(dtype.bits)).astype(np.uint8)
        elements = bits.reshape(-1, dtype.bits) @ weights
    elements = elements[:count]
    if dtype.array is np.int8:
        half = 1 << (dtype.bits - 1)
        return (elements ^ half).view(np.int8) - np.int8(half)
    return elements
