"""`build --trace`: what ran when, in the Trace Event Format that Perfetto and chrome://tracing open.

One lane a slot of the build, spans of actions with their phases inside, a lane for each toolchain that
is made, and the memory of the actions that run, as far as it is known: each one's peak, while it ran.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from buildsys.engine.events import (
    ActionFinished,
    ActionName,
    ActionProgress,
    ActionStarted,
    Diagnostic,
    Event,
    Toolchain,
    Waiting,
)
from buildsys.store import StoreError

PROCESS = 1
TOOLCHAINS = 1000
"""Lanes of toolchains begin here, below those of actions."""
MICROSECONDS = 1_000_000


@dataclass
class _Open:
    """A span that has begun."""

    name: str
    lane: int
    at: float
    arguments: dict[str, Any] = field(default_factory=dict)


_TIMED = (Toolchain, ActionStarted, ActionProgress, ActionFinished, Diagnostic, Waiting)
"""Events that happen while actions run, at a time."""


class Timeline:
    """A listener that keeps what is to be drawn. Times are seconds since the build began."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._began = time.monotonic()
        self._events: list[dict[str, Any]] = []
        self._lanes: list[str | None] = []
        self._actions: dict[str, _Open] = {}
        self._toolchains: dict[str, _Open] = {}
        self._toolchain_lanes: dict[str, int] = {}
        self._memory: list[tuple[float, int]] = []

    def __call__(self, event: Event) -> None:
        """Takes an event; called from several threads."""
        if not isinstance(event, _TIMED) or event.at is None:
            return
        with self._guard:
            # The build's clock is the one that counts: ours started a little earlier.
            self._began = time.monotonic() - event.at
            self._take(event, event.at)

    def _take(self, event: Event, at: float) -> None:
        match event:
            case Toolchain():
                self._toolchain(event.toolchain, event.message, at)
                if event.done:
                    self._toolchain_ended(event.toolchain, at)
            case ActionStarted():
                self._toolchain_ended(str(event.action.toolchain), at)
                self._started(event.action, at)
            case ActionFinished():
                self._finished(event)
            case Diagnostic(severity="error", action=ActionName() as action):
                self._ended(action.id, at, {"failed": event.message})

    def _started(self, action: ActionName, at: float) -> None:
        lane = next((n for n, who in enumerate(self._lanes) if who is None), len(self._lanes))
        self._lanes[lane : lane + 1] = [action.id]
        arguments = {"id": action.id, "rule": action.rule, "deployable": action.deployable}
        self._actions[action.id] = _Open(action.rule, lane, at, arguments)

    def _finished(self, event: ActionFinished) -> None:
        name = event.action.id
        arguments: dict[str, Any] = {
            "id": name,
            "rule": event.action.rule,
            "key": event.key,
            "cached": event.cached,
        }
        if name not in self._actions:
            self._events.append(
                {
                    "ph": "i",
                    "s": "t",
                    "name": f"cached: {event.action.rule}",
                    "cat": "cached",
                    "ts": _microseconds(event.at),
                    "pid": PROCESS,
                    "tid": 0,
                    "args": arguments,
                }
            )
            return
        peak = event.peak_rss_bytes or 0
        begun = self._actions[name]
        if peak:
            arguments["peak_rss_bytes"] = peak
            self._memory += [(begun.at, peak), (event.at, -peak)]
        self._phases(begun, event.phases or {}, event.at)
        self._ended(name, event.at, arguments)

    def _phases(self, begun: _Open, phases: Mapping[str, float], end: float) -> None:
        start = begun.at
        for name, seconds in phases.items():
            stop = min(start + float(seconds), end)
            if stop > start:
                self._span(_Open(name, begun.lane, start), stop, "phase")
            start = stop

    def _ended(self, name: str, at: float, arguments: dict[str, Any]) -> None:
        begun = self._actions.pop(name, None)
        if begun is None:
            return
        begun.arguments.update({n: v for n, v in arguments.items() if v is not None})
        self._lanes[begun.lane] = None
        self._span(begun, at, "action")

    def _toolchain(self, name: str, message: str, at: float) -> None:
        self._toolchain_ended(name, at)
        lane = self._toolchain_lanes.setdefault(name, TOOLCHAINS + len(self._toolchain_lanes))
        self._toolchains[name] = _Open(f"{name}: {message}", lane, at, {"toolchain": name})

    def _toolchain_ended(self, name: str, at: float) -> None:
        begun = self._toolchains.pop(name, None)
        if begun is not None:
            self._span(begun, at, "toolchain")

    def _span(self, begun: _Open, end: float, category: str) -> None:
        self._events.append(
            {
                "ph": "X",
                "name": begun.name,
                "cat": category,
                "ts": _microseconds(begun.at),
                "dur": _microseconds(end) - _microseconds(begun.at),
                "pid": PROCESS,
                "tid": begun.lane,
                "args": begun.arguments,
            }
        )

    def to_json(self) -> dict[str, Any]:
        """The file's content; what still runs ends now, and is marked."""
        with self._guard:
            now = time.monotonic() - self._began
            for name in list(self._toolchains):
                self._toolchain_ended(name, now)
            for name in list(self._actions):
                self._ended(name, now, {"unfinished": True})
            names = [(n, f"slot {n + 1}") for n in range(len(self._lanes))]
            names += [(lane, f"toolchain {n}") for n, lane in self._toolchain_lanes.items()]
            order = sorted(self._events, key=lambda e: (e["ts"], -e.get("dur", 0)))
            return {
                "displayTimeUnit": "ms",
                "traceEvents": [
                    _metadata("process_name", 0, name="modelbuild build"),
                    *(_metadata("thread_name", lane, name=name) for lane, name in names),
                    *(_metadata("thread_sort_index", lane, sort_index=lane) for lane, _ in names),
                    *order,
                    *self._counters(),
                ],
            }

    def _counters(self) -> list[dict[str, Any]]:
        found = []
        total = 0
        for at, change in sorted(self._memory):
            total += change
            found.append(
                {
                    "ph": "C",
                    "name": "memory of running actions (peaks)",
                    "ts": _microseconds(at),
                    "pid": PROCESS,
                    "tid": 0,
                    "args": {"MiB": round(total / 2**20, 1)},
                }
            )
        return found


class TraceFile(Timeline):
    """A timeline that is written to a file at the end, whole, however the build ends.

    The file is made at the start, so that one which cannot be written is found before anything runs.

    Raises:
        StoreError: It cannot be written; on entering, or at the end, when the disk has filled up.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = Path(os.path.realpath(path))  # A link stays a link.
        self._temporary: Path | None = None

    def __enter__(self) -> TraceFile:
        with self._refusals():
            if self._path.exists() and not self._path.is_file():
                return self  # A pipe or a device: there is nothing to put in its place.
            descriptor, name = tempfile.mkstemp(prefix=".trace-", dir=self._path.parent)
            os.close(descriptor)
            self._temporary = Path(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        text = json.dumps(self.to_json(), ensure_ascii=False)
        with self._refusals():
            if self._temporary is None:
                self._path.write_text(text, encoding="utf-8")
                return
            try:
                self._temporary.write_text(text, encoding="utf-8")
                self._temporary.chmod(0o644)
                self._temporary.rename(self._path)
            finally:
                self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}"
            raise StoreError(message, "give `--trace` another file") from error


def _metadata(kind: str, lane: int, **arguments: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": PROCESS, "tid": lane, "args": arguments}


def _microseconds(seconds: float) -> int:
    return round(seconds * MICROSECONDS)
