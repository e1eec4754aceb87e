"""What is shown while a build runs: a line an action, and below it what is running now."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from buildsys.engine.events import Event
from buildsys.report.front import search_lines
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
        fields = event.fields
        if event.event == "toolchain":
            name = str(fields["toolchain"])
            self._running[name] = f"toolchain {name}: {fields['message']}"
            if self._verbose or not self._console.is_terminal:
                self._line(f"  toolchain {name}: {fields['message']}", "dim")
            if fields.get("done"):
                self._running.pop(name, None)
        elif event.event == "waiting":
            text = f"waiting for {fields['holder']} ({fields['id']})"
            self._running[fields["id"]] = text
            self._line(f"  {text}", "dim")
        elif event.event == "collected":
            freed, files = size(fields["freed_bytes"]), fields["files"]
            self._line(f"  collected {freed} of the store: {files} files", "dim")
        elif event.event == "action_started":
            self._running.pop(str(fields.get("toolchain")), None)
            self._running[fields["id"]] = fields["id"]
        elif event.event == "action_progress":
            if fields["id"] in self._running:
                self._running[fields["id"]] = f"{fields['id']} {far(fields)}"
        elif event.event == "action_finished":
            self._running.pop(fields["id"], None)
            if not fields["cached"]:
                self._line(f"  {fields['seconds']:6.1f} s  {fields['id']}")
            elif self._verbose:
                self._line(f"    cached  {fields['id']}", "dim")
        elif event.event in ("search", "candidate", "chosen"):
            for line in search_lines(event.event, fields):
                self._line(f"  {line}", "cyan")
        elif event.event == "diagnostic":
            self._running.pop(str(fields.get("id")), None)
            if fields["severity"] == "error":
                self._line(f"    failed  {fields['id']}", "bold red")  # Explained at the end.
            else:
                self._line(f"  {fields['severity']}: {fields['message']}", "yellow")
        elif event.event == "finished":
            self._running.clear()
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


def far(fields: Mapping[str, Any]) -> str:
    """How far a step says that it is: `3/10, loss 0.12`."""
    figures = fields["figures"] or {}
    parts = [f"{fields['done']:g}/{fields['total']:g}"]
    parts += [f"{name} {_short(value)}" for name, value in figures.items()]
    return ", ".join(parts)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)
