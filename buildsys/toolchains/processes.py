"""The single seam to other programs; tests put a fake here."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from buildsys.capped_log import CappedLog

PROBE_SECONDS = 30
CHUNK = 1 << 16
ROUNDS = 16
EVERY_SECONDS = 0.5


class Processes(Protocol):
    """Starts programs."""

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        hold: int | None = None,
    ) -> int:
        """Runs a program to its end, its output appended to `log`: beginning and end, of much output.

        Args:
            command: The program and its arguments.
            cwd: Where it runs.
            environ: All of its environment variables.
            log: Gets what it says.
            hold: A descriptor that it inherits: a lock it holds as long as it lives.

        Returns:
            Its exit status; negative for a signal.
        """
        ...

    def ask(self, command: Sequence[str], *, environ: Mapping[str, str]) -> str | None:
        """A program's standard output; `None` where it is not there or fails."""
        ...

    def stop(self) -> None:
        """Kills what runs, from another thread; what is started later is killed at once."""
        ...


class LocalProcesses:
    """Real ones."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """See `Processes.stop`."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                process.kill()

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        hold: int | None = None,
    ) -> int:
        """See `Processes.run`. Kills the program where this one is interrupted."""
        output = CappedLog(log, append=True)
        try:
            output.write(f"$ {' '.join(command)}\n".encode())
            return self._run(command, cwd, environ, output, hold)
        finally:
            output.close()

    def _run(
        self,
        command: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str],
        output: CappedLog,
        hold: int | None,
    ) -> int:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=() if hold is None else (hold,),
        )
        with self._guard:
            self._running.add(process)
            if self._stopped:
                process.kill()
        try:
            assert process.stdout is not None
            with process.stdout as said:
                _copy(said, process, output)
            return process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            with self._guard:
                self._running.discard(process)

    def ask(self, command: Sequence[str], *, environ: Mapping[str, str]) -> str | None:
        """See `Processes.ask`."""
        try:
            done = subprocess.run(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def _copy(said: IO[bytes], process: subprocess.Popen[bytes], output: CappedLog) -> None:
    """Copies what a program says until it ends; what it left running is not waited for."""
    descriptor = said.fileno()
    os.set_blocking(descriptor, False)
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            if selector.select(0 if ended else EVERY_SECONDS):
                # No more than a pipe holds at a time: what it left running may write for ever.
                for _ in range(ROUNDS):
                    try:
                        data = os.read(descriptor, CHUNK)
                    except BlockingIOError:
                        break
                    if not data:
                        return
                    output.write(data)
            if ended:
                return
