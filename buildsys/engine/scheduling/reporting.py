"""Tells a build's listener what happens, with the seconds since the build began."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from buildsys.engine.events import (
    ActionFinished,
    ActionName,
    ActionProgress,
    ActionStarted,
    Diagnostic,
    Toolchain,
    Waiting,
)
from buildsys.engine.executors import Done
from buildsys.engine.listener import Listener
from buildsys.engine.staleness.walk import Standing
from buildsys.planner.graph import Action


class Reporter:
    """The events of one build.

    Args:
        listener: Receives the build's events.
    """

    def __init__(self, listener: Listener) -> None:
        self._tell = listener
        self._began = time.monotonic()

    def warning(self, message: str, action: Action | None = None) -> None:
        """Something that the user should know, and that stops nothing."""
        name = ActionName.of(action) if action is not None else None
        self._tell(Diagnostic(severity="warning", message=message, action=name, at=self._at))

    def error(
        self, message: str, action: Action, hint: str | None, instead: tuple[str, ...]
    ) -> None:
        """A step failed; `instead` names what its model can be had as without it."""
        self._tell(
            Diagnostic(
                severity="error",
                message=message,
                hint=hint,
                instead=instead,
                action=ActionName.of(action),
                at=self._at,
            )
        )

    def toolchain(self, environment: str, message: str, *, done: bool = False) -> None:
        """An environment is being made; called from any thread."""
        self._tell(Toolchain(toolchain=environment, message=message, done=done, at=self._at))

    def waiting(self, action: Action, holder: str) -> None:
        """Another build is running an action."""
        self._tell(Waiting(action=ActionName.of(action), holder=holder, at=self._at))

    def started(self, action: Action) -> None:
        """A step started."""
        self._tell(ActionStarted(action=ActionName.of(action), at=self._at))

    def progress(self, action: Action, line: Mapping[str, Any]) -> None:
        """A running step says how far it is; called from a thread of the executor."""
        self._tell(
            ActionProgress(
                action=ActionName.of(action),
                done=line.get("done"),
                total=line.get("total"),
                figures=line.get("figures"),
                at=self._at,
            )
        )

    def hit(self, action: Action, standing: Standing) -> None:
        """An action's result was in the store."""
        self._tell(
            ActionFinished(
                action=ActionName.of(action),
                cached=True,
                key=standing.key,
                seconds=0.0,
                at=self._at,
            )
        )

    def finished(self, action: Action, key: str, outcome: Done) -> None:
        """A step ran to its end, and gave what it should."""
        self._tell(
            ActionFinished(
                action=ActionName.of(action),
                cached=False,
                key=key,
                seconds=round(outcome.seconds, 3),
                peak_rss_bytes=outcome.peak_rss,
                phases={name: round(each, 6) for name, each in outcome.phases.items()},
                at=self._at,
            )
        )

    @property
    def _at(self) -> float:
        return round(time.monotonic() - self._began, 6)
