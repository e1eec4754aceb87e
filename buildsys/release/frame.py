"""Writes and reads the one zstd frame that a bundle is compressed in.

The frame declares the size of its content and ends with a checksum, and nothing stands behind it. The
decompressor alone does not see to this: it ignores what follows a frame, and a cut-off checksum.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import zstandard

from buildsys.release.errors import BundleError

LEVEL = 10
LARGEST_WINDOW = 8 << 20
"""Bytes that the decompressor may look back: what RFC 8878 recommends that every reader supports."""
CHUNK = 1 << 16
_LONGEST_HEADER = 18
_CHECKSUM = 4
_RAW_OR_COMPRESSED, _REPEATED = (0, 2), 1


@contextmanager
def compressed(stream: IO[bytes], size: int) -> Iterator[zstandard.ZstdCompressionWriter]:
    """Opens a frame for `size` bytes."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with compressor.stream_writer(stream, size=size, closefd=False) as writer:
        yield writer


class Frame:
    """Reads a frame's content as a stream, in constant memory.

    Attributes:
        size: How many bytes the frame declares.
        left: How many of them were not read yet.
    """

    def __init__(self, path: Path) -> None:
        """Opens a file and checks that it is exactly one frame.

        Raises:
            BundleError: The file is not a regular file, or is not exactly one whole frame.
        """
        self._path = path
        self._stream = _opened(path)
        try:
            self.size = self.left = self._checked()
        except BaseException:
            self._stream.close()
            raise
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        self._reader = decompressor.stream_reader(self._stream, read_size=CHUNK, closefd=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Reads exactly so many bytes.

        Raises:
            BundleError: The content ends before, or does not match its checksum.
        """
        parts = []
        for part in self.chunks(size):
            parts.append(part)
        return b"".join(parts)

    def chunks(self, size: int) -> Iterator[bytes]:
        """Reads exactly so many bytes, a piece at a time.

        Raises:
            BundleError: The content ends before, or does not match its checksum.
        """
        if size > self.left:
            raise BundleError(f"{self._path.name} ends too early: it was cut off, or altered")
        while size:
            part = self._part(min(size, CHUNK))
            if not part:
                raise BundleError(f"{self._path.name} holds less than its frame declares")
            size -= len(part)
            self.left -= len(part)
            yield part

    def finish(self) -> None:
        """Checks the checksum, once all was read.

        Raises:
            BundleError: The content is longer than declared, or does not match its checksum.
        """
        if self._part(1):
            raise BundleError(f"{self._path.name} holds more than its frame declares")

    def _part(self, size: int) -> bytes:
        try:
            return self._reader.read(size)
        except (OSError, zstandard.ZstdError) as error:
            raise BundleError(f"cannot read {self._path}: {error}") from error

    def _checked(self) -> int:
        """Walks over the frame's blocks up to the end of the file; gives the declared size."""
        name, stream = self._path.name, self._stream
        start = stream.read(_LONGEST_HEADER)
        try:
            declared = zstandard.get_frame_parameters(start)
            length = zstandard.frame_header_size(start)
        except zstandard.ZstdError as error:
            raise BundleError(
                f"cannot read {self._path}: it is not a zstd frame: {error}"
            ) from error
        if declared.content_size == zstandard.CONTENTSIZE_UNKNOWN or not declared.has_checksum:
            raise BundleError(
                f"the frame of {name} declares no size, or has no checksum",
                "`modelbuild bundle create` writes both: create it again",
            )
        if declared.window_size > LARGEST_WINDOW or declared.dict_id:
            raise BundleError(f"the frame of {name} is not as `bundle create` writes it")
        end = os.fstat(stream.fileno()).st_size
        position = length + _blocks(stream, length, name) + _CHECKSUM
        if position > end:
            raise BundleError(f"{name} ends too early: {position - end} bytes are missing")
        if position < end:
            raise BundleError(f"{name} goes on after its end: {end - position} bytes too many")
        stream.seek(0)
        return int(declared.content_size)


def _opened(path: Path) -> IO[bytes]:
    try:
        # A pipe would be waited for, and a device has no end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BundleError(f"cannot read {path}: it is not a regular file")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {path}: {error}") from error


def _blocks(stream: IO[bytes], start: int, name: str) -> int:
    """The length of all blocks of a frame, by their headers (RFC 8878, 3.1.1.2)."""
    length = 0
    while True:
        stream.seek(start + length)
        header = stream.read(3)
        if len(header) < 3:
            raise BundleError(f"{name} ends too early: its last block is missing")
        number = int.from_bytes(header, "little")
        kind, size = (number >> 1) & 3, number >> 3
        if kind == _REPEATED:
            size = 1
        elif kind not in _RAW_OR_COMPRESSED:
            raise BundleError(f"cannot read {name}: it holds a block of an unknown kind")
        length += len(header) + size
        if number & 1:
            return length
