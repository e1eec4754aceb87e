"""Whether what an earlier command found out still holds, by the stats of what it looked at.

Commands that have nothing to do start with this module, so it imports next to nothing.
"""

from __future__ import annotations

import json
import os
import time
import zlib

TYPE_CHECKING = False  # Not from `typing`, which takes longer to import than all that is done here.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

DAY = 86_400.0
KEPT = 30 * DAY
"""Seconds for which an unused record is kept."""

Stat = list[int]
"""Size, modification and change time in nanoseconds, inode."""


class Unknown(Exception):
    """Something was looked at whose state cannot be known by a stat."""


def stat_of(path: str) -> Stat | None:
    """What a stat says of a file or folder; `None` when nothing is there."""
    try:
        now = os.stat(path)
    except OSError:
        return None
    return [now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino]


def young(seen: Stat, moment: int) -> bool:
    """Whether what a stat was taken of could have changed after a moment and show the same times."""
    from buildsys.store.memo import grain

    return max(seen[1], seen[2]) > moment - grain(seen[1])


def unchanged(files: Mapping[str, Stat], absent: Iterable[str]) -> bool:
    """Whether files have the stats that they had, and what was not there is not there."""
    return not changed(files) and not appeared(absent)


def changed(files: Mapping[str, Stat]) -> list[str]:
    """The files that are gone, or have other stats than they had."""
    stat = os.stat
    found = []
    for path, (size, mtime, ctime, inode) in files.items():
        try:
            now = stat(path)
        except OSError:
            found.append(path)
            continue
        if (
            now.st_mtime_ns != mtime
            or now.st_ctime_ns != ctime
            or now.st_size != size
            or now.st_ino != inode
        ):
            found.append(path)
    return found


def appeared(absent: Iterable[str]) -> bool:
    """Whether anything is there that was not."""
    return any(map(os.path.lexists, absent))


def settled(
    looked: Mapping[str, Stat | None],
    moment: int,
    own: Iterable[str] = (),
    steady: Callable[[str], bool] = lambda _: False,
) -> tuple[dict[str, Stat], list[str]]:
    """The files that were there with their stats, and the paths that were not: both for `unchanged`.

    Args:
        looked: What the stat of each path said when it was read.
        moment: When the command began (POSIX nanoseconds).
        own: Paths, and folders of paths, that the command itself writes: they may be younger.
        steady: Whether a path may be younger since it was seen by other means that it did not change.

    Raises:
        Unknown: One of them was written while the command worked, or a moment before.
    """
    mine = set(own)
    below = tuple(path + os.sep for path in mine)
    files, absent = {}, []
    for path, seen in looked.items():
        if seen is None:
            absent.append(path)
            continue
        written = young(seen, moment) and path not in mine and not path.startswith(below)
        written = written and not steady(path)
        if written or stat_of(path) != seen:
            raise Unknown
        files[path] = seen
    return files, absent


def read(path: str) -> Any:
    """A record that `write` wrote, without its parts.

    Raises:
        OSError: There is none.
        ValueError: It is damaged.
    """
    return read_parts(path)[0]


def read_parts(path: str) -> tuple[Any, list[bytes]]:
    """A record that `write` wrote, and its parts as JSON.

    Raises:
        OSError: There is none.
        ValueError: It is damaged.
    """
    with open(path, "rb") as stream:
        checksum, _, body = stream.read().partition(b"\n")
    if checksum_of(body) != checksum:
        raise ValueError
    record, *parts = body.split(b"\n")
    return json.loads(record), parts


def write(path: str, record: Any, parts: Iterable[Any] = ()) -> None:
    """Writes a record, and removes old ones beside it.

    Args:
        path: The file.
        record: What every reader needs.
        parts: What some readers need parts of: they are parsed one by one.

    Raises:
        OSError: It cannot be written.
        ValueError: It is no JSON.
    """
    body = "\n".join(json.dumps(each, ensure_ascii=False) for each in (record, *parts)).encode()
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as stream:
        stream.write(checksum_of(body) + b"\n" + body)
    os.replace(temporary, path)
    old = time.time() - KEPT
    for entry in os.scandir(folder):
        if entry.stat().st_mtime < old:
            os.unlink(entry.path)


def checksum_of(data: bytes) -> bytes:
    """A short digest, against damage."""
    return b"%08x" % zlib.crc32(data)


def store_root() -> str:
    """The store's folder: `MODELBUILD_CACHE`, or the user's cache folder."""
    given = os.environ.get("MODELBUILD_CACHE")
    if given:
        return os.path.abspath(given)
    from platformdirs import user_cache_path

    return str(user_cache_path("modelbuild"))
