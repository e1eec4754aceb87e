"""A server that is started for verification, asked over HTTP on loopback, and always ended."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..protocol.request import StepError
from ..run.measurement import peak_rss

LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 300.0
"""How long one answer may take."""
STOP_SECONDS = 15.0
"""How long a server may take to end when it is asked to; then it is killed."""
TAIL = 12
"""Lines of its log that are shown where it does not start."""


class Server:
    """A process with what it started. It stays in our process group, and so ends with the step.

    Args:
        command: Starts it, in the foreground.
        folder: Its current directory.
        log: What it prints goes there.
        environ: Its variables.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, log: Path, environ: Mapping[str, str]
    ) -> None:
        self.port = 0
        self._log = log
        self._connection: http.client.HTTPConnection | None = None
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=stream,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                env=dict(environ),
            )

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def said(self) -> str:
        """All that it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits until it is ready. Where it never is, it is ended.

        Raises:
            StepError: It has ended by itself, or takes too long; with the end of its log.
        """
        until = time.monotonic() + seconds
        try:
            while not ready():
                code = self._process.poll()
                if code is not None:
                    raise StepError(f"{what} ended with status {code}: {self._tail()}")
                if time.monotonic() > until:
                    raise StepError(f"{what} is not ready after {seconds:.0f} s: {self._tail()}")
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """One request; gives status and body. A connection that was closed meanwhile is renewed.

        Raises:
            OSError: Nobody answers.
        """
        for again in (True, False):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    LOOPBACK, self.port, timeout=ANSWER_SECONDS
                )
            try:
                self._connection.request(method, path, body, {"Content-Type": kind})
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self._connection.close()
                self._connection = None
                if not again:
                    raise
        raise AssertionError("unreachable")

    def answers(self, path: str) -> bool:
        """Whether it answers 200 there."""
        try:
            return self.ask("GET", path)[0] == http.client.OK
        except (http.client.HTTPException, OSError):
            return False

    def peak_rss(self) -> int:
        """Peak resident memory in bytes, of the process and of all that it started."""
        return sum(peak_rss(pid) for pid in family(self.pid))

    def stop(self) -> None:
        """Ends it and what it started, and waits until they are gone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        pids = family(self.pid)
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                if pid != self.pid:
                    os.kill(pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        until = time.monotonic() + STOP_SECONDS
        while any(map(alive, pids)) and time.monotonic() < until:
            time.sleep(0.02)

    def _tail(self) -> str:
        return "\n".join(self.said().strip().splitlines()[-TAIL:]) or "it printed nothing"


def family(pid: int) -> list[int]:
    """A process and all that descend from it, parents first; itself alone where no /proc tells."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to look at it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
    except OSError:
        return False
    return state[:1] not in "ZX"


def reserve(count: int) -> list[int]:
    """Ports that are free now, all of them different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
