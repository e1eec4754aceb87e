"""Reads files that people and builds write: recipes, locks, settings, reports.

Whatever lies at such a path must neither stall a command nor fill the memory: a pipe is never waited for,
a device never read, and a file is read up to a limit.
"""

from __future__ import annotations

import errno
import os
import stat

LARGEST = 16 << 20
"""Bytes. A recipe of a thousand models has less than one MiB."""
TYPE_CHECKING = False  # Not from `typing`: this module is on the path of commands that do nothing.
if TYPE_CHECKING:
    from pathlib import Path


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Reads a regular file; `/dev/null` counts as an empty one.

    Raises:
        OSError: It cannot be read, is not a regular file, or is larger than `largest`; `strerror` says which.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError as error:  # A zero byte in the path.
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            if os.path.samestat(status, os.stat(os.devnull)):
                return b""
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        # Asked for one more: the files of `/proc` have the size 0.
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest >> 20} MiB", str(path))
    return content


def read_text(path: Path, largest: int = LARGEST) -> str:
    """As `read_bytes`, for UTF-8 text.

    Raises:
        OSError: As there, or it is not UTF-8.
    """
    try:
        return read_bytes(path, largest).decode()
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, "it is not UTF-8 text", str(path)) from error
