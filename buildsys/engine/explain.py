"""Why an action is stale, in words, with the place in the recipe where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildsys.engine.keys import Change
from buildsys.engine.walk import LOST, Standing, State, Walk
from buildsys.planner.graph import Action, ActionGraph, Deployable, FileInput
from buildsys.recipe import Recipe
from buildsys.toolchains.worker_host import ABSENT

SHORT = 6


@dataclass(frozen=True)
class Reason:
    """One cause.

    Attributes:
        text: For people.
        change: The field, for JSON; `None` where there is no earlier build to compare with.
    """

    text: str
    change: Change | None = None


class Explainer:
    """Says why, from the same manifests that keys are made of."""

    def __init__(
        self, recipe: Recipe, graph: ActionGraph, walk: Walk, standings: Mapping[str, Standing]
    ) -> None:
        self._recipe = recipe
        self._graph = graph
        self._walk = walk
        self._standings = standings

    def is_new(self, deployable: Deployable) -> bool:
        """Whether the step that makes the artifact was never built here."""
        action = self._graph.actions[deployable.artifact.action]
        return self._walk.why(action, self._standings[action.id]) is None

    def roots(self, deployable: Deployable) -> list[Reason]:
        """The causes of a deployable's staleness: what changed in the actions nearest the sources."""
        reasons: list[Reason] = []
        for name in deployable.actions:
            if self._standings[name].state in (State.RUN, State.MAYBE):
                reasons += self.action(self._graph.actions[name])
        unique: dict[str, Reason] = {}
        for reason in reasons:
            unique.setdefault(reason.text, reason)
        return list(unique.values())

    def action(self, action: Action) -> list[Reason]:
        """What changed for one action; nothing where only an input of it is to be made anew."""
        standing = self._standings[action.id]
        found = self._walk.why(action, standing)
        if found is None:
            return []
        own = [
            c for c in found if not (c.field.startswith("inputs.") and self._made(action, c.field))
        ]
        reasons = [Reason(self._words(action, change), change) for change in own]
        if not found and standing.reason == LOST:
            return [Reason(LOST)]
        return reasons

    @staticmethod
    def _made(action: Action, field: str) -> bool:
        given = action.inputs.get(field.removeprefix("inputs."))
        return given is not None and not isinstance(given, FileInput)

    def _words(self, action: Action, change: Change) -> str:
        head, _, rest = change.field.partition(".")
        arrow = f"({short(change.before)} → {short(change.after)})"
        if head == "inputs" and isinstance(given := action.inputs.get(rest), FileInput):
            return f"{self._name(given.path)} {verb(change)} {arrow}"
        if head == "discovered":
            return f"{rest} {verb(change)} {arrow}"
        if head == "toolchain":
            return f"toolchain {action.environment} changed {arrow}"
        if head == "implementation":
            return f"modelbuild's own {action.rule} changed {arrow}"
        if head == "options":
            name = rest.removeprefix("format.")
            values = f"{value(change.before)} → {value(change.after)}"
            return f"{name}: {values}{self._at(action, rest)}"
        return f"{change.field} changed {arrow}"

    def _name(self, path: Path) -> str:
        folder = self._recipe.folder
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    def _at(self, action: Action, field: str) -> str:
        keys: tuple[str | int, ...] = action.origin
        if field.startswith("format."):
            keys = (*keys, "options", field.removeprefix("format."))
        position = self._recipe.where(*keys)
        return f" ({position.file.name}:{position.line}:{position.column})" if position else ""


def verb(change: Change) -> str:
    """What happened to a file."""
    if change.before in (None, ABSENT):
        return "is new"
    return "is gone" if change.after in (None, ABSENT) else "changed"


def short(digest: Any) -> str:
    """A digest's first characters."""
    if digest in (None, ABSENT):
        return "none"
    text = str(digest)
    name, _, hexadecimal = text.rpartition(":")
    return hexadecimal[:SHORT] + "…" if name or len(text) > 2 * SHORT else text


def value(given: Any) -> str:
    """An option's value."""
    return "unset" if given is None else str(given)
