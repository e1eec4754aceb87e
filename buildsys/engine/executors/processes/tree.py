"""What a step has started: its processes, their memory, and how all of them are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = sys.platform == "linux"
EXECVE_SECONDS = 0.02
"""How long a process takes at most to become another program."""


@dataclass(frozen=True)
class Process:
    """One row of the system's table.

    Attributes:
        pid: Its number.
        parent: Who started it, or has taken it over.
        rss: Resident memory in bytes.
    """

    pid: int
    parent: int
    rss: int


def table() -> list[Process]:
    """All processes that this user may see."""
    return list(_from_proc() if HAS_PROC else _from_ps())


def _from_proc() -> Iterator[Process]:
    page = os.sysconf("SC_PAGE_SIZE")
    for name in os.listdir(PROC):
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # A program's name stands in parentheses and may hold anything.
                fields = (PROC / name / "stat").read_bytes().rpartition(b")")[2].split()
                yield Process(int(name), int(fields[1]), int(fields[21]) * page)


def _from_ps() -> Iterator[Process]:
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=False
        )
        for line in listed.stdout.splitlines():
            with suppress(ValueError):
                pid, parent, kibibytes = map(int, line.split())
                yield Process(pid, parent, kibibytes * 1024)


def descendants(root: int, processes: Iterable[Process]) -> list[Process]:
    """A process and all that it started, the eldest first."""
    children: dict[int, list[Process]] = {}
    found = []
    for process in processes:
        children.setdefault(process.parent, []).append(process)
        if process.pid == root:
            found.append(process)
    for process in found:
        found += children.get(process.pid, ())
    return found


def proportional(pid: int) -> int | None:
    """A process's memory in bytes, without mapped files; what it shares with others counts in part.

    Returns:
        `None` where the system does not tell.
    """
    total = None
    with suppress(OSError, ValueError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total = (total or 0) + int(line.split()[1]) * 1024
    return total


def kill_tree(root: int) -> None:
    """Kills a process, its group, and all that it started, in groups of their own too."""
    below = [process.pid for process in descendants(root, table()) if process.pid != root]
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)
    for pid in (root, *below):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_strays(home: str) -> None:
    """Kills processes whose HOME is a certain folder: the last way to find what a step has started.

    Where a step or its host was killed, nobody has taken over its orphans. Linux only.
    """
    if not HAS_PROC:
        return
    _kill_at_home(home)
    # One that becomes another program at this very moment (`execve`) has no variables.
    time.sleep(EXECVE_SECONDS)
    _kill_at_home(home)


def _kill_at_home(home: str) -> None:
    marks = (f"HOME={home}\0".encode(), f"\0HOME={home}\0".encode())
    for name in filter(str.isdigit, os.listdir(PROC)):
        with suppress(OSError):
            variables = (PROC / name / "environ").read_bytes()
            if variables.startswith(marks[0]) or marks[1] in variables:
                os.kill(int(name), signal.SIGKILL)
