"""The weight file of a package: numbers at offsets, each behind a record of its type and size."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from ...kit.protocol.request import StepError
from .dtypes import DTYPES, unpacked

_RECORD = struct.Struct("<IIQQQ")  # Sentinel, type, bytes, offset of the data, bits of padding.
_SENTINEL = 0xDEADBEEF
_HEADER = struct.Struct("<II")  # Number of records, version.
_VERSION = 2


class Blobs:
    """A weight file; it is read whole on first use, since a model is useless without its weights."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: bytearray | None = None

    def read(self, offset: int, name: str, shape: Sequence[int]) -> np.ndarray:
        """The array whose record lies at an offset.

        Args:
            offset: In bytes.
            name: The type that the program declares, for example `INT4`.
            shape: The sizes that the program declares.

        Raises:
            StepError: There is no such record, or it holds another type or number of elements.
        """
        content = self._loaded()
        where = f"the weight file has at {offset:,}"
        if offset + _RECORD.size > len(content):
            raise StepError(f"{where} no record: it ends at {len(content):,}")
        sentinel, blob, size, start, padding = _RECORD.unpack_from(content, offset)
        if sentinel != _SENTINEL:
            raise StepError(f"{where} no record of a weight")
        dtype = DTYPES.get(name)
        if dtype is None or dtype.blob != blob:
            held = next((n for n, d in DTYPES.items() if d.blob == blob), f"type {blob}")
            raise StepError(f"{where} {held} where the program declares {name}")
        bits = prod(shape) * dtype.bits
        if size != -(-bits // 8):
            raise StepError(
                f"{where} {size:,} bytes where {name} {list(shape)} takes {-(-bits // 8):,}"
            )
        if dtype.bits < 8 and padding != size * 8 - bits:
            raise StepError(f"{where} {padding} bits of padding, not {size * 8 - bits}")
        if start + size > len(content):
            raise StepError(f"{where} a record whose data reaches beyond the end of the file")
        packed = np.frombuffer(content, np.uint8, size, start)
        if dtype.bits < 8:
            return unpacked(packed, prod(shape), name).reshape(shape)
        return packed.view(dtype.array).reshape(shape)

    def _loaded(self) -> bytearray:
        if self._content is None:
            if not self._path.is_file():
                raise StepError(f"the package lacks its weight file `{self._path.name}`")
            content = bytearray(self._path.stat().st_size)
            with self._path.open("rb") as stream:
                stream.readinto(content)
            if len(content) < _HEADER.size:
                raise StepError(f"`{self._path.name}` is too short for a weight file")
            _, version = _HEADER.unpack_from(content)
            if version != _VERSION:
                raise StepError(f"`{self._path.name}` is of version {version}, not {_VERSION}")
            self._content = content
        return self._content
