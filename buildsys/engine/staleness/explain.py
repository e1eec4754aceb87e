"""Why an action is stale, or was built the last time, in words, with the place in the recipe.

All of it is read from the manifests that keys are made of: there is no second opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildsys.engine.staleness import keys
from buildsys.engine.staleness.keys import Change
from buildsys.engine.staleness.positions import Positions
from buildsys.engine.staleness.walk import LOST, Standing, State, Walk
from buildsys.planner.graph import Action, ActionGraph, Deployable, FileInput
from buildsys.toolchains.inside.program import ABSENT, PRESENCE, UNSEEN

if TYPE_CHECKING:
    from buildsys.recipe import Position, Recipe

SHORT = 6
FIRST = "was built for the first time"
NEW = "was never built here"
SAME = "gave the same bytes as before"
STALE = (State.RUN, State.MAYBE)


@dataclass(frozen=True)
class Reason:
    """One cause.

    Attributes:
        words: What changed, for people.
        change: The field; `None` where there is no earlier build to compare with.
        find: Looks for where the recipe says it.
    """

    words: str
    change: Change | None = None
    find: Callable[[], Position | None] | None = field(default=None, compare=False)

    @property
    def place(self) -> Position | None:
        """Where the recipe says it. To know that the recipe is read, which a plan may not have done."""
        return self.find() if self.find is not None else None

    @property
    def text(self) -> str:
        """The words, for an option with its place: a file is found without."""
        if self.change is None or not self.change.field.startswith("options."):
            return self.words
        place = self.place
        if place is None:
            return self.words
        return f"{self.words} ({place.file.name}:{place.line}:{place.column})"


@dataclass(frozen=True)
class Link:
    """One action in the chain from a deployable to what changed.

    Attributes:
        action: Its id.
        rule: Its rule.
        state: Where it stands.
        changes: What changed of its own: files, options, its environment.
        because: The actions above it that are the cause.
        inputs: The inputs that come from those.
        text: What there is to say besides.
    """

    action: str
    rule: str
    state: State
    changes: tuple[Reason, ...] = ()
    because: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a deployable would be rebuilt or, where nothing is stale, was built the last time.

    Attributes:
        label: The deployable.
        state: `stale`, `up to date` or `blocked`.
        chain: The actions that have to do with it, from the deployable towards the causes.
        sure: Whether something is certain to run. Otherwise it depends on bytes that will be rebuilt.
        blocked: What this machine lacks.
    """

    label: str
    state: str
    chain: tuple[Link, ...]
    sure: bool = True
    blocked: str | None = None


class Explainer:
    """Says why, from the same manifests that keys are made of.

    Args:
        positions: Where the recipe says what.
        graph: The actions.
        walk: A look at them.
        standings: Where each stands.
    """

    def __init__(
        self,
        positions: Positions,
        graph: ActionGraph,
        walk: Walk,
        standings: Mapping[str, Standing],
    ) -> None:
        self._positions = positions
        self._graph = graph
        self._walk = walk
        self._standings = standings
        self._found: dict[str, list[Change] | None] = {}
        self._consumed = {
            (given.action, given.output)
            for action in graph.actions.values()
            for given in action.inputs.values()
            if not isinstance(given, FileInput)
        }

    def is_new(self, deployable: Deployable) -> bool:
        """Whether the step that makes the artifact was never built here."""
        return self._changes(self._graph.actions[deployable.artifact.action]) is None

    def roots(self, deployable: Deployable) -> list[Reason]:
        """The causes of a deployable's staleness: what changed in the actions nearest the sources."""
        reasons: list[Reason] = []
        for name in deployable.actions:
            if self._standings[name].state in STALE:
                reasons += self.action(self._graph.actions[name])
        unique: dict[str, Reason] = {}
        for reason in reasons:
            unique.setdefault(reason.text, reason)
        return list(unique.values())

    def action(self, action: Action) -> list[Reason]:
        """What changed for one action; nothing if only one of its inputs will be rebuilt."""
        found = self._changes(action)
        if found is None:
            return []
        reason = self._standings[action.id].reason
        if not found and reason == LOST:
            return [Reason(LOST)]
        if reason is not None and self._walk.altered(action) is not None:
            return [Reason(reason), *self._reasons(action, found)]
        return self._reasons(action, found)

    def explain(self, deployable: Deployable) -> Explanation:
        """The chain from a deployable to what changed."""
        label = deployable.label
        states = {name: self._standings[name].state for name in deployable.actions}
        if State.BLOCKED in states.values():
            links = [
                Link(name, self._rule(name), State.BLOCKED, text=self._standings[name].reason)
                for name in reversed(deployable.actions)
                if self._graph.actions[name].unavailable is not None
            ]
            return Explanation(label, "blocked", tuple(links), blocked=links[0].text)
        if not any(state in STALE for state in states.values()):
            return Explanation(label, "up to date", self._past(deployable))
        chain = [
            self._link(self._graph.actions[name])
            for name in deployable.actions
            if states[name] in STALE
        ]
        # An input that is another one already was made by an action that is up to date by now.
        known = {link.action for link in chain}
        asked = [name for link in chain for name in link.because if name not in known]
        past = {name: self._last(self._graph.actions[name]) for name in asked}
        chain += [link for link in past.values() if link.changes]
        sure = any(state is State.RUN for state in states.values())
        return Explanation(label, "stale", self._ordered(chain), sure)

    def _link(self, action: Action) -> Link:
        standing = self._standings[action.id]
        stale: dict[str, list[str]] = {}
        for name, given in action.inputs.items():
            if not isinstance(given, FileInput) and self._stale(given.action):
                stale.setdefault(given.action, []).append(name)
        found = self._changes(action)
        reasons = self._reasons(action, found or [])
        for change in found or []:
            name = change.field.removeprefix("inputs.")
            made = action.inputs.get(name)
            if made is None or isinstance(made, FileInput) or self._stale(made.action):
                continue
            arrow = f"({short(change.before)} → {short(change.after)})"
            reasons.append(Reason(f"its input `{name}` is another one {arrow}", change))
            stale.setdefault(made.action, [])
        inputs = tuple(name for names in stale.values() for name in names)
        text = None
        if found is None:
            text = NEW
        elif not reasons and not inputs:
            text = standing.reason or "what it gave is not known any more"
        because = tuple(stale)
        return Link(action.id, action.rule, standing.state, tuple(reasons), because, inputs, text)

    def _stale(self, name: str) -> bool:
        return self._standings[name].state in STALE

    def _past(self, deployable: Deployable) -> tuple[Link, ...]:
        """The last build: the actions that changed in it; all of them where it was the first."""
        links = {n: self._last(self._graph.actions[n]) for n in deployable.actions}
        if not any(link.changes or link.inputs for link in links.values()):
            return self._ordered(links.values())
        same = {name for name, link in links.items() if link.text == SAME}
        for name, link in links.items():
            # What gave the same bytes the last time was another's cause in a build before that.
            links[name] = replace(link, because=tuple(n for n in link.because if n not in same))
        used = {name for n in deployable.actions for name in self._graph.actions[n].upstream()}
        # From the deployable's end upwards: what is not reached changed in a build before that one,
        # or changed and gave the same bytes.
        todo = [n for n, link in links.items() if n not in used and (link.changes or link.inputs)]
        todo += same
        reached: dict[str, None] = {}
        while todo:
            name = todo.pop()
            if name not in reached:
                reached[name] = None
                todo += links[name].because
        return self._ordered(links[name] for name in reached)

    def _last(self, action: Action) -> Link:
        """What was different when an action was last built, from the two traces of its place."""
        state = self._standings[action.id].state
        now, earlier = self._walk.before(action)
        if now is None or earlier is None:
            known = any(self._walk.known.keys.get(slot, ("", None))[1] for slot in action.slots)
            text = "what it was before is not known any more" if known else FIRST
            return Link(action.id, action.rule, state, text=text)
        found = keys.changes(earlier.manifest, now.manifest)
        because: dict[str, None] = {}
        inputs = []
        for change in found:
            given = action.inputs.get(change.field.removeprefix("inputs."))
            if given is not None and not isinstance(given, FileInput):
                because[given.action] = None
                inputs.append(change.field.removeprefix("inputs."))
        reasons = tuple(self._reasons(action, found))
        used = [name for name in now.outputs if (action.id, name) in self._consumed]
        same = bool(used) and all(now.outputs[n] == earlier.outputs.get(n) for n in used)
        return Link(
            action.id,
            action.rule,
            state,
            reasons,
            tuple(because),
            tuple(inputs),
            SAME if same else None,
        )

    def _ordered(self, links: Iterable[Link]) -> tuple[Link, ...]:
        by_name = {link.action: link for link in links}
        return tuple(by_name[n] for n in reversed(self._graph.actions) if n in by_name)

    def _rule(self, name: str) -> str:
        return self._graph.actions[name].rule

    def _changes(self, action: Action) -> list[Change] | None:
        if action.id not in self._found:
            self._found[action.id] = self._walk.why(action, self._standings[action.id])
        return self._found[action.id]

    def _reasons(self, action: Action, found: Iterable[Change]) -> list[Reason]:
        """The changes that are the action's own, and not those of something above it."""
        return [
            Reason(
                self._words(action, change),
                change,
                partial(self._positions.of, action, change.field),
            )
            for change in found
            if not (change.field.startswith("inputs.") and self._made(action, change.field))
        ]

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
            return _of_read(rest, change)
        if head == "files":
            return f"{rest} {verb(change)} {arrow}"
        if head == "toolchain":
            return f"toolchain {action.environment} changed {arrow}"
        if head == "implementation":
            return f"modelbuild's own {action.rule} changed {arrow}"
        if head == "machine":
            return f"measured on another machine ({change.before} → {change.after})"
        if head == "options":
            values = f"{value(change.before)} → {value(change.after)}"
            return f"{rest.removeprefix('format.')}: {values}"
        return f"{change.field} changed {arrow}"

    def _name(self, path: Path) -> str:
        folder = self._positions.folder
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _of_read(name: str, change: Change) -> str:
    """What happened to something that the model's own code reads."""
    if name.startswith(UNSEEN):
        return f"it no longer reads through {name.removeprefix(UNSEEN)}"
    path, _, what = name.partition(PRESENCE)
    if what:
        before, after = (
            str(each).partition(":")[2] or "none" for each in (change.before, change.after)
        )
        return f"the {what} of {path} changed ({before} → {after})"
    return f"{path} {verb(change)} ({short(change.before)} → {short(change.after)})"


def explanations(recipe: Recipe, graph: ActionGraph, walk: Walk) -> list[Explanation]:
    """Why each selected deployable is stale, or was built the last time; runs nothing."""
    positions = Positions(recipe.outline, lambda: recipe, graph)
    explainer = Explainer(positions, graph, walk, walk.states())
    return [explainer.explain(deployable) for deployable in graph.deployables]


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
