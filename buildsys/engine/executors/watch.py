"""Reads how far running steps say that they are, and passes it on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EVERY_SECONDS = 0.2
Told = Callable[[Mapping[str, Any]], None]


class _Tail:
    """The end of one file that grows.

    Args:
        path: The file; it need not be there.
        told: Called with each line.
    """

    def __init__(self, path: Path, told: Told) -> None:
        self._path = path
        self._told = told
        self._read = 0
        self._guard = threading.Lock()

    def look(self) -> None:
        """Passes on the lines that have come since."""
        with self._guard:
            try:
                with self._path.open("rb") as stream:
                    stream.seek(self._read)
                    new = stream.read()
            except OSError:
                return
            whole = new[: new.rfind(b"\n") + 1]
            self._read += len(whole)
        for line in whole.splitlines():
            try:
                self._told(json.loads(line))
            except ValueError:
                continue  # The model's own code may write anywhere.


class Watch:
    """One thread that looks at the files of all steps that run; there is none while nothing runs."""

    def __init__(self) -> None:
        self._tails: list[_Tail] = []
        self._guard = threading.Lock()
        self._idle = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, path: Path, told: Told) -> Iterator[None]:
        """Passes on what is written to a file while the block runs, and what is left at its end."""
        tail = _Tail(path, told)
        with self._guard:
            self._tails.append(tail)
            self._idle.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._guard:
                self._tails.remove(tail)
                if not self._tails:
                    self._idle.set()
            tail.look()

    def _run(self) -> None:
        while True:
            self._idle.wait(EVERY_SECONDS)
            with self._guard:
                tails = list(self._tails)
                if not tails:
                    self._thread = None
                    return
            for tail in tails:
                tail.look()
