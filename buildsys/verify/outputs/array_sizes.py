"""Looks how much memory the arrays of a file will take, without reading them."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

from numpy.lib import format as npy

ZIP = b"PK\x03\x04"


def array_bytes(path: Path) -> int:
    """Bytes that all arrays of an `.npy` or `.npz` file take when they are loaded.

    A file of another kind, or a damaged one, counts as nothing: whoever loads it says what is wrong.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(ZIP)) != ZIP:
                stream.seek(0)
                return _header_bytes(stream)
        with zipfile.ZipFile(path) as archive:
            return sum(_member_bytes(archive, each) for each in archive.infolist())
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return 0


def _member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    if not member.filename.endswith(".npy"):
        return member.file_size  # numpy gives such a member's bytes as they are.
    with archive.open(member) as stream:
        return _header_bytes(stream)


def _header_bytes(stream: IO[bytes]) -> int:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return math.prod(shape) * int(dtype.itemsize)
