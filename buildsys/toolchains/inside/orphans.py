"""Ends what a step leaves behind: daemons too, which leave its process group and lose their parent.

A process that takes over orphans (a *subreaper*) becomes the parent of each process below it that loses
its own, in place of the system's first process. A step is one, and so is the host around it: when a
step has ended, whatever it left is a child of the host, and of no other step. Linux only; elsewhere a
daemon that leaves its group outlives its step.

Standard library only; loaded by `program.py` and `forks.py`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress

PR_SET_CHILD_SUBREAPER = 36
TASKS = "/proc/self/task"
SECONDS = 2.0
"""How long to wait for a process to end that was killed: one that waits for a disk takes its time."""
PAUSE = 0.001


def adopt(libc: ctypes.CDLL | None = None) -> None:
    """Makes this process the parent of every orphan below it.

    Args:
        libc: The system's library, where it is loaded already.
    """
    if sys.platform == "linux":
        (libc or ctypes.CDLL(None)).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """The processes whose parent is this one; dead ones too, until they are waited for."""
    found: set[int] = set()
    try:
        for task in os.listdir(TASKS):
            with open(f"{TASKS}/{task}/children", "rb") as stream:
                found.update(map(int, stream.read().split()))
    except OSError:  # Not every kernel has these files.
        return _children_of(os.getpid())
    return found


def _children_of(parent: int) -> set[int]:
    found = set()
    with suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with (
                suppress(OSError, ValueError, IndexError),
                open(f"/proc/{name}/stat", "rb") as stat,
            ):
                if int(stat.read().rpartition(b")")[2].split()[1]) == parent:
                    found.add(int(name))
    return found


def end_children(keep: Collection[int] = ()) -> None:
    """Kills all children of this process, and what becomes its child by that.

    Args:
        keep: Children that may live.
    """
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        left = children().difference(keep)
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended = [_is_over(pid) for pid in left]
        if not any(ended):
            time.sleep(PAUSE)


def _is_over(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
