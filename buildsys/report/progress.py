"""What is shown while a build runs: a line an action, and below it what is running now."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from buildsys.engine.events import (
    ActionFinished,
    ActionProgress,
    ActionStarted,
    Candidate,
    Chosen,
    Collected,
    Diagnostic,
    Event,
    SearchStarted,
    Toolchain,
    Waiting,
)
from buildsys.report.screens.candidates import search_lines
from buildsys.report.units import size


class Progress:
    """A listener for the console. Lines go to standard error; a log gets no spinner."""

    def __init__(self, console: Console, *, quiet: bool, verbose: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._guard = threading.Lock()
        self._running: dict[str, str] = {}
        self._status = Status("", console=console, spinner="line")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def __call__(self, event: Event) -> None:
        """Shows an event; called from the coordinator and from threads that make toolchains."""
        if self._quiet:
            return
        with self._guard:
            self._show(event)

    def _show(self, event: Event) -> None:
        match event:
            case Toolchain(toolchain=name, message=message):
                self._running[name] = f"toolchain {name}: {message}"
                if self._verbose or not self._console.is_terminal:
                    self._line(f"  toolchain {name}: {message}", "dim")
                if event.done:
                    del self._running[name]
            case Waiting():
                text = f"waiting for {event.holder} ({event.action.id})"
                self._running[event.action.id] = text
                self._line(f"  {text}", "dim")
            case Collected():
                freed = size(event.freed_bytes)
                self._line(f"  collected {freed} of the store: {event.files} files", "dim")
            case ActionStarted():
                self._running.pop(str(event.action.toolchain), None)
                self._running[event.action.id] = event.action.id
            case ActionProgress():
                if event.action.id in self._running:
                    self._running[event.action.id] = f"{event.action.id} {far(event)}"
            case ActionFinished():
                self._running.pop(event.action.id, None)
                if not event.cached:
                    self._line(f"  {event.seconds:6.1f} s  {event.action.id}")
                elif self._verbose:
                    self._line(f"    cached  {event.action.id}", "dim")
            case SearchStarted() | Candidate() | Chosen():
                for line in search_lines(event):
                    self._line(f"  {line}", "cyan")
            case Diagnostic():
                if event.action is not None:
                    self._running.pop(event.action.id, None)
                if event.severity == "error" and event.action is not None:
                    self._line(
                        f"    failed  {event.action.id}", "bold red"
                    )  # Explained at the end.
                else:
                    self._line(f"  {event.severity}: {event.message}", "yellow")
        self._refresh()

    def _line(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        if not self._console.is_terminal:
            return
        if not self._running:
            self._status.stop()
            return
        text = ", ".join(self._running.values())
        room = max(20, self._console.width - 6)
        self._status.update(Text(text if len(text) <= room else text[: room - 1] + "…"))
        self._status.start()


def far(event: ActionProgress) -> str:
    """How far a step says that it is: `3/10, loss 0.12`."""
    figures = event.figures or {}
    parts = [f"{event.done:g}/{event.total:g}"]
    parts += [f"{name} {_short(value)}" for name, value in figures.items()]
    return ", ".join(parts)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)
