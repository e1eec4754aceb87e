"""Kills a step that takes more memory than the user allows."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from buildsys.engine.executors.processes.tree import (
    Process,
    descendants,
    kill_tree,
    proportional,
    table,
)

EVERY_SECONDS = 0.2


class MemoryLimits:
    """One thread that looks at the memory of steps with a limit; there is none while none runs.

    What a process shares with others counts in part for each of them, as a step's children share what
    they were forked from. To find that out is costly, so it is asked only where the plain sum is too much.
    """

    def __init__(self) -> None:
        self._limits: dict[int, int] = {}
        self._exceeded: dict[int, int] = {}
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, pid: int, limit: int) -> None:
        """Kills a process with all that it started when they take more than `limit` bytes together."""
        with self._guard:
            self._limits[pid] = limit
            self._wake.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def release(self, pid: int) -> int | None:
        """Ends that; gives the bytes that the process took, where it was killed for them."""
        with self._guard:
            self._limits.pop(pid, None)
            if not self._limits:
                self._wake.set()
            return self._exceeded.pop(pid, None)

    def _run(self) -> None:
        while True:
            self._wake.wait(EVERY_SECONDS)
            with self._guard:
                if not self._limits:
                    self._thread = None
                    return
                limits = dict(self._limits)
            processes = table()
            for pid, limit in limits.items():
                taken = memory(pid, processes, limit)
                if taken > limit:
                    self._end(pid, taken)

    def _end(self, pid: int, taken: int) -> None:
        with self._guard:
            if pid in self._limits:  # Else it has ended, and its number may be another's.
                self._exceeded[pid] = taken
                kill_tree(pid)


def memory(root: int, processes: Iterable[Process], limit: int) -> int:
    """Bytes that a process and its descendants take; exact only where that is near the limit."""
    tree = descendants(root, processes)
    taken = sum(process.rss for process in tree)
    if taken <= limit:
        return taken
    return sum(
        process.rss if (exact := proportional(process.pid)) is None else exact for process in tree
    )
