"""What a build tells while it runs. The console and `--json` are two listeners of one stream.

Each event is a class; its fields, in order, are its line of `build --json`. Seconds in `at` count from
the build's start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from buildsys.figures.candidate import Figures
from buildsys.figures.json_form import Beside, Form, optional
from buildsys.planner.graph import Action
from buildsys.verify.judgment.gate import Gate as Judged

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened."""

    name: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The line of `build --json`."""
        return {
            "event": self.name,
            **{each.name: getattr(self, each.name) for each in fields(self)},
        }


@dataclass(frozen=True)
class ActionName:
    """How events name an action.

    Attributes:
        id: Its id in the action graph.
        rule: What kind of step it is.
        toolchain: Where it runs.
        deployable: The first deployable that needs it.
    """

    id: str
    rule: str
    toolchain: str | None
    deployable: str | None

    @classmethod
    def of(cls, action: Action) -> ActionName:
        """The name of an action."""
        label = action.labels[0] if action.labels else None
        return cls(action.id, action.rule, action.environment, label)

    def to_json(self) -> dict[str, Any]:
        """The fields that an event about the action begins with."""
        return {
            "id": self.id,
            "rule": self.rule,
            "toolchain": self.toolchain,
            "deployable": self.deployable,
        }


@dataclass(frozen=True, kw_only=True)
class Version(Event):
    """The first event: the version of all that follow."""

    name = "version"
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Event):
    """Something that the user should know.

    Attributes:
        severity: `warning`, or `error` for a step that failed.
        message: What is wrong.
        hint: For an error, a way out.
        instead: For an error, what the model can be had as without the step.
        action: The step, where it is about one.
        deployable: The deployable, where it is about one and no step.
        at: Seconds; `None` outside of the run.
    """

    name = "diagnostic"
    severity: str
    message: str
    hint: str | None = optional()
    instead: Sequence[str] = optional(())
    action: Annotated[ActionName | None, Beside()] = optional()
    deployable: str | None = optional()
    at: float | None = optional()

    def to_json(self) -> dict[str, Any]:
        """The line; what does not apply is left out."""
        line: dict[str, Any] = {
            "event": self.name,
            "severity": self.severity,
            "message": self.message,
        }
        if self.severity == "error":
            line |= {"hint": self.hint, "instead": list(self.instead)}
        if self.action is not None:
            line |= self.action.to_json()
        elif self.deployable is not None:
            line["deployable"] = self.deployable
        if self.at is not None:
            line["at"] = self.at
        return line


def warning(message: str) -> Diagnostic:
    """A warning that is about no step."""
    return Diagnostic(severity="warning", message=message)


@dataclass(frozen=True, kw_only=True)
class Toolchain(Event):
    """An environment is being made; `done` when it is there."""

    name = "toolchain"
    toolchain: str
    message: str
    done: bool = optional(False)
    at: float

    def to_json(self) -> dict[str, Any]:
        """The line; `done` only at the end."""
        line = super().to_json()
        if not self.done:
            del line["done"]
        return line


@dataclass(frozen=True, kw_only=True)
class _OfAction(Event):
    action: Annotated[ActionName, Beside()]

    def to_json(self) -> dict[str, Any]:
        """The line; it begins with the action's name."""
        line = super().to_json()
        del line["event"], line["action"]
        return {"event": self.name, **self.action.to_json(), **line}


@dataclass(frozen=True, kw_only=True)
class Waiting(_OfAction):
    """Another build is running an action; `holder` says which."""

    name = "waiting"
    holder: str
    at: float


@dataclass(frozen=True, kw_only=True)
class ActionStarted(_OfAction):
    """A step started."""

    name = "action_started"
    at: float


@dataclass(frozen=True, kw_only=True)
class ActionProgress(_OfAction):
    """A running step says how far it is: `done` of `total`, and figures by name."""

    name = "action_progress"
    done: float | None
    total: float | None
    figures: Mapping[str, Any] | None
    at: float


@dataclass(frozen=True, kw_only=True)
class ActionFinished(_OfAction):
    """An action's result is known.

    Attributes:
        cached: Whether it was in the store, so that nothing ran.
        key: The action key.
        seconds: Wall time of the work alone.
        peak_rss_bytes: Peak resident memory; `None` where nothing ran.
        phases: Where the time went, in seconds; `None` where nothing ran.
        at: Seconds since the build began.
    """

    name = "action_finished"
    cached: bool
    key: str | None
    seconds: float
    peak_rss_bytes: int | None = optional()
    phases: Mapping[str, float] | None = optional()
    at: float

    def to_json(self) -> dict[str, Any]:
        """The line; memory and phases only of what ran."""
        line = super().to_json()
        if self.cached:
            del line["peak_rss_bytes"], line["phases"]
        return line


@dataclass(frozen=True, kw_only=True)
class Gate(Event):
    """A deployable was judged: its status, and each bound in its JSON form."""

    name = "gate"
    deployable: str
    status: str
    reason: str | None
    inputs_not_known: Sequence[str]
    gates: Annotated[Sequence[Mapping[str, Any]], Form(Sequence[Judged])]


@dataclass(frozen=True, kw_only=True)
class Collected(Event):
    """The store was over its limit, and files were removed."""

    name = "collected"
    freed_bytes: int
    files: int


@dataclass(frozen=True, kw_only=True)
class SearchStarted(Event):
    """A search for a quantization profile begins; `refused` tells why candidates were passed over."""

    name = "search"
    deployable: str
    search: str
    minimize: str
    subject_to: str
    candidates: Sequence[str]
    refused: Mapping[str, str]
    outdated: bool


@dataclass(frozen=True, kw_only=True)
class Candidate(Event):
    """A search has built a candidate; `figures` are its JSON form."""

    name = "candidate"
    deployable: str
    figures: Annotated[Mapping[str, Any], Form(Figures), Beside()]

    def to_json(self) -> dict[str, Any]:
        """The line, with the figures side by side."""
        return {"event": self.name, "deployable": self.deployable, **self.figures}


@dataclass(frozen=True, kw_only=True)
class Chosen(Event):
    """A search has chosen a profile, after so many builds."""

    name = "chosen"
    deployable: str
    profile: str
    passed: bool
    built: int
    candidates: Annotated[Sequence[Mapping[str, Any]], Form(Sequence[Figures])]


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The last event: the exit status, and how many actions were `hit`, `ran`, `failed` and `blocked`."""

    name = "finished"
    exit: int
    summary: Mapping[str, int]


EVENTS: tuple[type[Event], ...] = (
    Version,
    Diagnostic,
    Toolchain,
    Waiting,
    ActionStarted,
    ActionProgress,
    ActionFinished,
    Gate,
    Collected,
    SearchStarted,
    Candidate,
    Chosen,
    Finished,
)
"""Every line that `build --json` may have."""
