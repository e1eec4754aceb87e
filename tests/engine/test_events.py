"""The lines of `build --json`: the same fields in the same order as ever."""

from __future__ import annotations

from typing import Any

from buildsys.engine import events
from buildsys.engine.events import ActionName, Event

NAME = ActionName("ios/m#torch.capture", "torch.capture", "torch", "ios/m")
NAMED = {
    "id": "ios/m#torch.capture",
    "rule": "torch.capture",
    "toolchain": "torch",
    "deployable": "ios/m",
}


def test_every_event_has_its_line() -> None:
    lines: list[tuple[Event, dict[str, Any]]] = [
        (events.Version(), {"event": "version", "version": 1}),
        (
            events.warning("careful"),
            {"event": "diagnostic", "severity": "warning", "message": "careful"},
        ),
        (
            events.Diagnostic(severity="warning", message="again", action=NAME, at=1.5),
            {"event": "diagnostic", "severity": "warning", "message": "again", **NAMED, "at": 1.5},
        ),
        (
            events.Diagnostic(severity="warning", message="detour", deployable="ios/m"),
            {
                "event": "diagnostic",
                "severity": "warning",
                "message": "detour",
                "deployable": "ios/m",
            },
        ),
        (
            events.Diagnostic(
                severity="error", message="no", instead=("onnx",), action=NAME, at=2.0
            ),
            {
                "event": "diagnostic",
                "severity": "error",
                "message": "no",
                "hint": None,
                "instead": ["onnx"],
                **NAMED,
                "at": 2.0,
            },
        ),
        (
            events.Toolchain(toolchain="onnx", message="installing", at=0.5),
            {"event": "toolchain", "toolchain": "onnx", "message": "installing", "at": 0.5},
        ),
        (
            events.Toolchain(toolchain="onnx", message="ready", done=True, at=0.5),
            {
                "event": "toolchain",
                "toolchain": "onnx",
                "message": "ready",
                "done": True,
                "at": 0.5,
            },
        ),
        (
            events.Waiting(action=NAME, holder="process 1", at=1.0),
            {"event": "waiting", **NAMED, "holder": "process 1", "at": 1.0},
        ),
        (
            events.ActionStarted(action=NAME, at=1.0),
            {"event": "action_started", **NAMED, "at": 1.0},
        ),
        (
            events.ActionProgress(action=NAME, done=1, total=2, figures={"loss": 0.5}, at=1.0),
            {
                "event": "action_progress",
                **NAMED,
                "done": 1,
                "total": 2,
                "figures": {"loss": 0.5},
                "at": 1.0,
            },
        ),
        (
            events.ActionFinished(action=NAME, cached=True, key="k", seconds=0.0, at=1.0),
            {
                "event": "action_finished",
                **NAMED,
                "cached": True,
                "key": "k",
                "seconds": 0.0,
                "at": 1.0,
            },
        ),
        (
            events.ActionFinished(
                action=NAME,
                cached=False,
                key="k",
                seconds=0.1,
                peak_rss_bytes=5,
                phases={"work": 0.1},
                at=1.0,
            ),
            {
                "event": "action_finished",
                **NAMED,
                "cached": False,
                "key": "k",
                "seconds": 0.1,
                "peak_rss_bytes": 5,
                "phases": {"work": 0.1},
                "at": 1.0,
            },
        ),
        (
            events.Collected(freed_bytes=7, files=2),
            {"event": "collected", "freed_bytes": 7, "files": 2},
        ),
        (
            events.Candidate(deployable="ios/m", figures={"name": "w8", "bytes": 3}),
            {"event": "candidate", "deployable": "ios/m", "name": "w8", "bytes": 3},
        ),
    ]
    for event, line in lines:
        assert list(event.to_json().items()) == list(line.items())
