"""A log of limited size: its beginning and its end, and how much is missing in between."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

HEAD = 1 << 20
"""Bytes of the beginning that a log keeps which grew too long."""
TAIL = 7 << 20
"""Bytes of the end that it keeps."""
LIMIT = HEAD + TAIL


class CappedLog:
    """Writes a log; of one that outgrows `LIMIT` bytes only the last `TAIL` are held, in memory.

    A disk that is full costs the rest of the log, and nothing else.

    Args:
        path: The file; it is made.
        append: Whether it is added to what the file holds, which does not count.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._stream = path.open("r+b" if append and path.exists() else "w+b", buffering=0)
        self._start = self._stream.seek(0, os.SEEK_END)
        self._size = 0
        self._written = 0
        self._tail = bytearray()
        self._refused = False

    def write(self, data: bytes) -> None:
        """Adds to the log."""
        fits = data[: max(0, LIMIT - self._size)]
        self._size += len(data)
        if fits:
            self._put(fits)
        rest = data[len(fits) :]
        if rest:
            self._tail += rest
            if len(self._tail) > 2 * TAIL:  # Not each time: that would move all of it.
                del self._tail[:-TAIL]

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and not self._refused:
                count = self._stream.write(view) or 0
                self._written += count
                view = view[count:]
        except OSError:
            self._refused = True

    def close(self) -> None:
        """Puts the end below the beginning, where something between them is left out."""
        with suppress(OSError), self._stream:
            if self._size > LIMIT and not self._refused:
                end = bytes(self._tail[-TAIL:])
                if len(end) < TAIL:
                    self._stream.seek(self._start + LIMIT - (TAIL - len(end)))
                    end = self._stream.read(TAIL - len(end)) + end
                self._stream.truncate(self._start + HEAD)
                self._stream.seek(self._start + HEAD)
                left_out = self._size - LIMIT
                self._put(f"\n[modelbuild: {left_out:,} bytes are left out here]\n".encode())
                self._put(end)
