"""One process at a time, held by the kernel: a killed holder cannot leave it behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

POLL = 0.2


@contextmanager
def exclusive(path: Path, on_wait: Callable[[str], None]) -> Iterator[int]:
    """Holds a lock while the block runs.

    The file stays: to delete a lock file is to let two processes lock two files of one name.

    Args:
        path: The lock file, made if missing. Its content names the holder.
        on_wait: Told who holds it, once for each holder, when it is not free.

    Yields:
        The file's descriptor. A child process that inherits it holds the lock as long as it lives,
        so that a child which outlives a killed parent is waited for as well.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(descriptor, path, on_wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder().encode(), 0)
        try:
            yield descriptor
        finally:
            os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, on_wait: Callable[[str], None]) -> None:
    told = None
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = path.read_text(errors="replace") or "another process"
            if who != told:
                on_wait(who)
                told = who
            time.sleep(POLL)
        else:
            return


def holder() -> str:
    """This process, for others that wait for it."""
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    import socket  # Who only looks at environments takes no lock.

    return f"process {os.getpid()} on {socket.gethostname()} since {since}"
