"""Where a TFLite file holds its numbers: within its tables, or behind them.

Files beyond 2 GiB have to hold them behind, and the quantizer does so from 256 KiB on. Many readers look
within only, and a file whose tables are written again no longer finds what lies behind them. So files that
can hold them within do.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"
ALIGNMENT = 16
"""Of the data of buffers, in bytes: the schema demands it, and flatbuffers' Python forgets it."""
LARGEST = 2**31 - 2**20
"""Bytes of a file whose tables hold everything: offsets of flatbuffers are of 31 bits."""


def is_behind(buffer: Any) -> bool:
    """Whether a buffer's data lie behind the tables."""
    return bool(buffer.offset > 1)


def data_of(buffer: Any, raw: Any) -> Any:
    """A buffer's bytes, or `None`; `raw` is the file as an array of bytes."""
    if buffer.data is not None and len(buffer.data):
        return np.asarray(buffer.data, np.uint8)
    if is_behind(buffer):
        return np.asarray(raw[buffer.offset : buffer.offset + buffer.size])
    return None


def moved_within(raw: bytes) -> bytes:
    """The file with all of its data within its tables, where it can be; the same bytes where it is so."""
    if len(raw) > LARGEST:
        return raw
    model = schema.ModelT.InitFromPackedBuf(raw, 0)
    if not any(is_behind(buffer) for buffer in model.buffers):
        return raw
    bytes_of = np.frombuffer(raw, np.uint8)
    for buffer in model.buffers:
        if is_behind(buffer):
            buffer.data = data_of(buffer, bytes_of)
            buffer.offset = buffer.size = 0
    return packed(model)


def packed(model: Any) -> bytes:
    """The bytes of a file, of its tables as objects."""
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Keeps the data of buffers aligned."""

    def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802
        """Writes an array of numbers as a vector."""
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        self.StartVector(1, x.size, ALIGNMENT)
        self.head = self.Head() - x.size
        self.Bytes[self.Head() : self.Head() + x.size] = x.tobytes()
        return int(self.EndVector())
