"""Runs a command and says what it cost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

GRACE = 20.0
"""Seconds between SIGTERM and SIGKILL for what runs past its limit."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        cpu: User and system seconds, those of all processes that it waited for included.
        wall: Seconds.
        peak_mib: The largest resident memory of one of its processes.
        exit: Its exit status, or `None` where it was stopped at the limit.
    """

    cpu: float
    wall: float
    peak_mib: float
    exit: int | None


def run(
    command: Sequence[str],
    folder: Path,
    *,
    log: Path,
    limit: float,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Runs a command to its end or its limit, with its output in a log."""
    with log.open("ab") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
        late = 0
        while True:
            # Polled, not waited for: a limit is needed, and so is the usage, which `wait4` gives.
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            elapsed = time.perf_counter() - started
            if late < 2 and elapsed > limit + GRACE * late:
                os.killpg(process.pid, (signal.SIGTERM, signal.SIGKILL)[late])
                late += 1
            time.sleep(0.0005 if elapsed < 1 else 0.01)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(
        usage.ru_utime + usage.ru_stime,
        wall,
        usage.ru_maxrss / 1024,
        None if late else process.returncode,
    )


def medians(costs: Iterable[Cost]) -> dict[str, float]:
    """The medians of several runs, and how many they were."""
    rows = list(costs)
    return {
        "cpu": round(median(c.cpu for c in rows), 4),
        "wall": round(median(c.wall for c in rows), 4),
        "peak_mib": round(median(c.peak_mib for c in rows), 1),
        "runs": len(rows),
    }
