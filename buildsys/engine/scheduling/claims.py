"""Who runs an action, where several builds want it at once: the first; the others wait and look again.

A claim is a kernel lock on one of a fixed number of files, chosen by the action's key. It dies with its
holder, so a killed build leaves nothing to unlock. Two actions that share a file wait for each other,
which is rare and harms nothing; a file for each action would have to be made and removed, and that
costs more than all else that is done for an action.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from buildsys.store.content import writing
from buildsys.toolchains.file_lock import holder

PREFIX = "action-"
FILES = 1024
OURS = "this build"
"""Holds a claim whose file another action of the same build has locked."""


class Claims:
    """The claims that this build holds.

    Args:
        folder: Where lock files lie; shared by all builds of a store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder = holder().encode()
        self._held: dict[str, int] = {}
        self._slots: set[int] = set()

    def take(self, key: str) -> str | None:
        """Claims an action; `None` when it is ours, else who has it.

        Raises:
            StoreError: The lock file cannot be written.
        """
        slot = int(key[:12], 16) % FILES
        if slot in self._slots:
            return OURS
        with writing(self._folder):
            if not os.path.isdir(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            path = f"{self._folder}/{PREFIX}{slot:03x}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with ExitStack() as unless_ours:
                unless_ours.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    other = os.pread(descriptor, 1000, 0).decode(errors="replace")
                    return other or "another build"
                # A full disk or a file system without locks may refuse any of these.
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, self._holder, 0)
                unless_ours.pop_all()
        self._held[key] = descriptor
        self._slots.add(slot)
        return None

    def give_back(self, key: str) -> None:
        """Ends a claim; nothing where there is none."""
        descriptor = self._held.pop(key, None)
        if descriptor is not None:
            self._slots.discard(int(key[:12], 16) % FILES)
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)

    def give_back_all(self) -> None:
        """Ends every claim."""
        for key in list(self._held):
            self.give_back(key)
