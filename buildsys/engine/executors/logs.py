"""Copies what steps print into logs of limited size.

A step writes into a named pipe, and a thread of the coordinator copies from there. So a
step that prints gigabytes neither fills the disk nor fails, and what it started cannot write to a log
that is finished.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import sys
import threading
from contextlib import suppress
from pathlib import Path

from buildsys.capped_log import CappedLog
from buildsys.store.content import writing

CHUNK = 1 << 20
EVERY_SECONDS = 0.5
PRIVATE = 0o600


class Recording:
    """The log of one step, while it runs.

    Args:
        pipe: What the step writes to; it is made.
        log: The log; it is made.

    Raises:
        OSError: One of them cannot be made.
    """

    def __init__(self, pipe: Path, log: Path) -> None:
        self._pipe = pipe
        self._log = CappedLog(log)
        try:
            os.mkfifo(pipe, PRIVATE)
            # For writing as well: a pipe without a writer is always ready to say that it has ended.
            self.descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except BaseException:
            self._log.close()
            raise
        if sys.platform == "linux":
            # Programs that write without waiting (Node.js) get errors from a pipe that is full.
            with suppress(OSError):
                fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, CHUNK)
        self._open = True
        self._guard = threading.Lock()

    def copy(self) -> None:
        """Copies what is there."""
        with self._guard:
            if self._open:
                self._copy_once()

    def _copy_once(self) -> bool:
        try:
            data = os.read(self.descriptor, CHUNK)
        except BlockingIOError:
            return False
        self._log.write(data)
        return True

    def end(self) -> None:
        """Copies what is left. Whoever still writes after that finds the pipe broken."""
        with self._guard:
            if not self._open:
                return
            self._open = False
            # No more than a pipe holds: what a step left behind may go on for ever.
            for _ in range(CHUNK // 4096):
                if not self._copy_once():
                    break
            os.close(self.descriptor)
            self._log.close()
            self._pipe.unlink(missing_ok=True)


class Logs:
    """One thread that copies for all steps that run; there is none while nothing runs."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._count = 0
        self._thread: threading.Thread | None = None

    def begin(self, log: Path, pipe: Path) -> Recording:
        """Makes a log, and the pipe that leads to it.

        Raises:
            StoreError: It cannot be made.
        """
        with writing(log):
            recording = Recording(pipe, log)
        with self._guard:
            self._selector.register(recording.descriptor, selectors.EVENT_READ, recording)
            self._count += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        return recording

    def end(self, recording: Recording) -> None:
        """Finishes a log."""
        with self._guard:
            self._selector.unregister(recording.descriptor)
            self._count -= 1
        recording.end()

    def _run(self) -> None:
        while True:
            ready = self._selector.select(EVERY_SECONDS)
            for key, _ in ready:
                key.data.copy()
            with self._guard:
                if not self._count:
                    self._thread = None
                    return
