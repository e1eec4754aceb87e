"""A process for each action: where a host would not do, or is not wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from buildsys.engine.executors.processes.ended import Ended
from buildsys.engine.executors.processes.tree import kill_strays, kill_tree

CLOCK_REALTIME_COARSE = 5
"""By which Linux stamps files, up to a tick behind the others; Python has no name for it."""


class Processes:
    """Starts them, waits for them, and kills them."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._guard = threading.Lock()
        self._stopping = False

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        scratch: Path,
        output: Path,
        timeout: float,
        begun: Callable[[int], None],
    ) -> Ended:
        """Runs a command to its end, in a group of its own, which ends with it.

        Args:
            command: The command.
            environment: Its environment variables.
            scratch: Its current directory.
            output: What it says goes there; it must be there.
            timeout: Seconds.
            begun: Is called with the process number.

        Raises:
            OSError: The output cannot be written.
        """
        started_ns, started = before_files(), time.monotonic()
        with output.open("ab", buffering=0) as stream:
            process = subprocess.Popen(
                command,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._guard:
            self._running.add(process.pid)
        begun(process.pid)
        if self._stopping:
            self.stop()
        timed_out = threading.Event()

        def kill() -> None:
            timed_out.set()
            kill_tree(process.pid)

        timer = threading.Timer(timeout, kill)
        timer.daemon = True
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
            with self._guard:
                self._running.discard(process.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
        kill_group(process.pid)  # What the worker left behind goes with it.
        if process.returncode:  # It had no time to end by itself what it had started.
            kill_strays(environment["HOME"])
        unit = 1 if sys.platform == "darwin" else 1024
        return Ended(
            process.returncode,
            time.monotonic() - started,
            started_ns,
            peak_rss=usage.ru_maxrss * unit,
            cpu=usage.ru_utime + usage.ru_stime,
            timed_out=timed_out.is_set(),
        )

    def stop(self) -> None:
        """Kills all that run, and all that is started from now on."""
        self._stopping = True
        with self._guard:
            for pid in self._running:
                kill_tree(pid)


def before_files() -> int:
    """A time (POSIX nanoseconds) that no file is older than which is changed from now on."""
    if sys.platform == "linux":
        return time.clock_gettime_ns(CLOCK_REALTIME_COARSE) - 1
    return time.time_ns()


def kill_group(pid: int) -> None:
    """Kills a process with all that it started, where there is something left of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
