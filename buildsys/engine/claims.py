"""Who runs an action, where several builds want it at once: the first; the others wait and look again.

A claim is a kernel lock on a file named by the action's key. It dies with its holder, so a killed
build leaves nothing to unlock. The file is removed when the claim is given back; one that a killed
process left behind is taken over like a new one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from buildsys.store.content import writing
from buildsys.toolchains.kernel_lock import holder

PREFIX = "action-"


class Claims:
    """The claims that this build holds.

    Args:
        folder: Where lock files lie; shared by all builds of a store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def take(self, key: str) -> str | None:
        """Claims an action; `None` when it is ours, else who has it.

        Raises:
            StoreError: The lock file cannot be written.
        """
        path = self._path(key)
        with writing(self._folder):
            while True:
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                except FileNotFoundError:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    continue
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    other = os.pread(descriptor, 1000, 0).decode(errors="replace")
                    os.close(descriptor)
                    return other or "another build"
                if _is_at(descriptor, path):
                    break
                os.close(descriptor)  # Its last holder has just removed it.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder().encode(), 0)
        self._held[key] = descriptor
        return None

    def give_back(self, key: str) -> None:
        """Ends a claim; nothing where there is none."""
        descriptor = self._held.pop(key, None)
        if descriptor is not None:
            # While it is still held: a file that another process has locked is never removed.
            with suppress(OSError):
                self._path(key).unlink()
            os.close(descriptor)

    def give_back_all(self) -> None:
        """Ends every claim."""
        for key in list(self._held):
            self.give_back(key)

    def _path(self, key: str) -> Path:
        return self._folder / f"{PREFIX}{key[:40]}"


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        named = os.stat(path)
    except OSError:
        return False
    mine = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
