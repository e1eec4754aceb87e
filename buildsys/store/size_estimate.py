"""How large the store is, without looking at each of its files after each build.

A count is written down, and each build adds what it made. It is counted again once a day, and as soon as the
sum is over the limit. What other builds add at the same moment may be missed until then.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NAME = "size"
DAY = 86_400.0


@dataclass(frozen=True)
class Size:
    """Bytes.

    Attributes:
        files: Of stored files.
        logs: Of steps' logs.
    """

    files: int
    logs: int

    def __add__(self, other: Size) -> Size:
        return Size(self.files + other.files, self.logs + other.logs)


def grown(root: Path, more: Size) -> Size | None:
    """The size after a build; `None` where it was not counted for a day.

    Args:
        root: The store's folder.
        more: What the build made, at most.
    """
    try:
        files, logs, counted = map(int, (root / NAME).read_text().split())
    except (OSError, ValueError):
        return None
    if not 0 <= time.time() - counted < DAY:
        return None
    size = Size(files, logs) + more
    _write(root, size, counted)
    return size


def counted(root: Path, size: Size) -> None:
    """Writes down a count that was just made."""
    _write(root, size, int(time.time()))


def _write(root: Path, size: Size, counted: int) -> None:
    temporary = root / f"{NAME}.{os.getpid()}"
    with suppress(OSError):  # It is counted again the next time.
        temporary.write_text(f"{size.files} {size.logs} {counted}\n")
        temporary.replace(root / NAME)
