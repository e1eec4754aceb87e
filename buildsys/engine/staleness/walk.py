"""What state an action is in. `plan` and `build` ask the same question here, of the same code."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from buildsys.engine.environments import Environments
from buildsys.engine.staleness import keys
from buildsys.engine.staleness.declared import declared_files
from buildsys.engine.staleness.implementation import Implementations
from buildsys.engine.staleness.keys import Change, Manifest
from buildsys.planner.graph import Action, ActionGraph, Deployable, FileInput
from buildsys.store import Index, Memo, Store, Trace
from buildsys.toolchains.inside import program

LOST = "its stored output is gone"
NOT_NEEDED = "its stored output is gone, and nothing needs it"
TWIN = "another action may turn out to be the same"


class State(enum.Enum):
    """Where an action stands before it is run."""

    HIT = "hit"
    """Its key is known, a trace is under it, and the outputs lie in the store."""
    RUN = "run"
    """Nothing under its key: it will run."""
    MAYBE = "maybe"
    """An input will be rebuilt, or its toolchain is not installed yet. It runs unless the bytes stay the
    same."""
    BLOCKED = "blocked"
    """This machine cannot do it, or cannot do what it needs."""


@dataclass(frozen=True)
class Standing:
    """An action's state, and what it was concluded from.

    Attributes:
        state: The state.
        manifest: The key's manifest as far as it is known: without `discovered` where nothing on
            record matches the disk.
        key: The action key, where all of it is known.
        static: The static key of an action that discovers what it reads.
        trace: What the action gave, for a hit; also where the key is known and the files are gone.
        reason: For `MAYBE` and `BLOCKED`: why, in words.
    """

    state: State
    manifest: Manifest
    key: str | None = None
    static: str | None = None
    trace: Trace | None = None
    reason: str | None = None

    @property
    def lost(self) -> bool:
        """Whether it is known what the action gave, and its files are gone."""
        return self.state is State.MAYBE and self.trace is not None


class Walk:
    """One look at a graph: keys and states, with nothing run.

    Attributes:
        graph: What is looked at.
        known: What was last built for this project, as it was when the walk was made.

    Args:
        graph: What is looked at.
        name: The project's name, under which history is kept.
        project: Its folder.
        store: Stored files.
        index: What each key gave.
        memo: Digests of the user's files.
        environments: What is installed.
        implementations: Digests of workers' code.
        machine: Names the machine that times are measured on. It is asked only where an action
            measures them, and once.
        salt: Mixed into every key.
    """

    def __init__(
        self,
        graph: ActionGraph,
        name: str,
        project: Path,
        store: Store,
        index: Index,
        memo: Memo,
        environments: Environments,
        implementations: Implementations,
        machine: Callable[[], str],
        *,
        salt: str = "",
    ) -> None:
        self.graph = graph
        self.index = index
        self.memo = memo
        self._project = project
        self._store = store
        self._environments = environments
        self._salt = salt
        self._implementations = implementations
        self._machine = cache(machine)
        self._shapes: dict[str, bool] = {}
        self.known = index.known(name, {s for a in graph.actions.values() for s in a.slots})
        self.listings: dict[str, str] = {}

    def states(self) -> dict[str, Standing]:
        """The state of every action, in topological order."""
        found = self._states()
        needed = roots(self.graph.deployables) | {ref.action for ref in self.graph.wanted}
        for name in reversed(found):
            standing = found[name]
            if standing.lost and name not in needed:
                # Rebuilt only when something needs its bytes.
                found[name] = replace(standing, state=State.HIT, reason=NOT_NEEDED)
            elif standing.state in (State.RUN, State.MAYBE):
                needed.update(self.graph.actions[name].upstream())
        return found

    def _states(self) -> dict[str, Standing]:
        found: dict[str, Standing] = {}
        sure: set[str] = set()
        for action in self.graph.actions.values():
            standing = self.standing(action, found)
            if standing.state is State.RUN:
                # Of two actions that may turn out to be one (equal bytes in), only the first is sure.
                shape = keys.shape(action, self.implementation(action))
                twin = standing.key if standing.key is not None else shape
                if twin in sure or (standing.reason is not None and shape in sure):
                    standing = replace(standing, state=State.MAYBE, reason=standing.reason or TWIN)
                sure |= {twin, shape}
            found[action.id] = standing
        return found

    def standing(self, action: Action, above: Mapping[str, Standing]) -> Standing:
        """The state of one action, given those it depends on."""
        blocked = self._blocked(action, above)
        if blocked is not None:
            return Standing(State.BLOCKED, {}, reason=blocked)
        implementation = self.implementation(action)
        inputs, unknown = self._inputs(action, above)
        fingerprint = self._fingerprint(action)
        files = self.declared(action)
        record = keys.manifest(action, implementation, fingerprint, inputs, None, files)
        if action.timed:
            record["machine"] = self._machine()
        if self._salt:
            record["salt"] = self._salt
        reason = None
        if unknown:
            reason = f"{unknown} will be rebuilt"
        elif action.environment is not None and fingerprint is None:
            altered = self.altered(action)
            reason = f"toolchain {action.environment} is not installed yet"
            if altered is not None:
                reason = (
                    f"toolchain {action.environment} was altered ({altered}); a build reinstalls it"
                )
        if reason is not None:
            possible = self._has_shape(keys.shape(action, implementation))
            return Standing(State.MAYBE if possible else State.RUN, record, reason=reason)
        if not action.user_code:
            return self._looked_up(record, None)
        static = keys.digest(record)
        for found in self._discoveries(action, record, static):
            if self._holds(found):
                return self._looked_up(record | {"discovered": found}, static)
        return Standing(State.RUN, record, static=static)

    def _looked_up(self, record: Manifest, static: str | None) -> Standing:
        key = keys.digest(record)
        trace = self.known.traces.get(key)
        if trace is None or not self.present(trace):
            trace = self.index.trace(key)  # Another build may have rebuilt it since.
        if trace is None:
            return Standing(State.RUN, record, key, static)
        if self.present(trace):
            return Standing(State.HIT, record, key, static, trace)
        # Another action may put the same bytes back before this one's turn comes.
        return Standing(State.MAYBE, record, key, static, trace, LOST)

    def is_new(self, action: Action) -> bool:
        """Whether nothing like an action was ever run: it cannot be a hit, whatever its inputs are."""
        return not self._has_shape(keys.shape(action, self.implementation(action)))

    def present(self, trace: Trace) -> bool:
        """Whether all that an action gave lies in the store."""
        return not self._store.missing(trace.outputs.values())

    def _has_shape(self, shape: str) -> bool:
        if shape not in self._shapes:
            self._shapes[shape] = self.index.has_shape(shape)
        return self._shapes[shape]

    def _discoveries(
        self, action: Action, record: Manifest, static: str
    ) -> Iterator[dict[str, str]]:
        """Sets of files that the model's code read, the likeliest first."""
        last = self.last(action)
        if last is not None:
            found = last.manifest.get("discovered")
            if found is not None and last.manifest == record | {"discovered": found}:
                yield found  # As the last time: no statement is spent on it.
        yield from self.index.discoveries(static)

    def _blocked(self, action: Action, above: Mapping[str, Standing]) -> str | None:
        if action.unavailable is not None:
            return action.unavailable
        for name in action.upstream():
            if above[name].state is State.BLOCKED:
                return above[name].reason
        return None

    def _inputs(
        self, action: Action, above: Mapping[str, Standing]
    ) -> tuple[dict[str, str | None], str | None]:
        digests: dict[str, str | None] = {}
        unknown = None
        for name, given in action.inputs.items():
            if isinstance(given, FileInput):
                digests[name] = self.memo.of(given.path)
                continue
            trace = above[given.action].trace
            if trace is None:
                unknown = unknown or given.action
            else:
                digests[name] = trace.outputs[given.output].digest
        return digests, unknown

    def declared(self, action: Action) -> dict[str, str] | None:
        """The files that the recipe says its code reads, path to digest; `None` where it does not say."""
        if action.files is None:
            return None
        found = declared_files(self._project, action.files, self.memo.look)
        digests = {name: self.memo.digest(self._project / name) for name in found}
        return {name: digest for name, digest in digests.items() if digest is not None}

    def _fingerprint(self, action: Action) -> str | None:
        if action.environment is None:
            return None
        return self._environments.fingerprint(action.environment)

    def altered(self, action: Action) -> str | None:
        """How an action's environment differs from what was put into it, if it does."""
        if action.environment is None:
            return None
        return self._environments.altered(action.environment)

    def implementation(self, action: Action) -> str:
        """The digest of the worker's code."""
        return self._implementations.of(action.worker)

    def _holds(self, found: Mapping[str, str]) -> bool:
        """Whether the files that were read are on the disk as they were."""
        return all(self.discovered_digest(path) == digest for path, digest in found.items())

    def discovered_digest(self, path: str) -> str:
        """The digest now of something that a model's code read; files go by the memo."""
        plain, _, _ = path.partition(program.PRESENCE)
        if len(plain) < len(path):  # Whether it is there, its size, its time; or nothing saw it.
            if not path.startswith(program.UNSEEN):
                self.memo.look(os.path.join(self._project, plain))
            return program.discovered_digest(str(self._project), path)
        if path.endswith(("/", "/" + program.MODULES)):
            found = program.discovered_digest(str(self._project), path)
            self.listings[path] = found
            return found
        return self.memo.digest(self._project / path) or program.ABSENT

    def why(self, action: Action, standing: Standing) -> list[Change] | None:
        """The fields that changed since the action was last built here; `None` when it never was."""
        trace = self.last(action)
        if trace is None:
            return None
        before, now = dict(trace.manifest), dict(standing.manifest)
        if "discovered" not in now and "discovered" in before:
            found = {path: self.discovered_digest(path) for path in before["discovered"]}
            now["discovered"] = found
        # What is not known yet is not a change.
        if standing.reason is not None and standing.key is None:
            unknown = set(before["inputs"]) - set(now["inputs"])
            now["inputs"] = now["inputs"] | {n: before["inputs"][n] for n in unknown}
            if now.get("toolchain", {}).get("fingerprint") is None:
                now["toolchain"] = before.get("toolchain")
        return keys.changes(before, now)

    def last(self, action: Action) -> Trace | None:
        """The trace that stood at an action's place when it was last built."""
        for slot in action.slots:
            if slot in self.known.keys:
                return self.known.traces.get(self.known.keys[slot][0])
        return None

    def before(self, action: Action) -> tuple[Trace | None, Trace | None]:
        """The trace that last stood at an action's place, and the one that stood there before it."""
        for slot in action.slots:
            if slot in self.known.keys:
                previous = self.known.keys[slot][1]
                earlier = self.index.trace(previous) if previous is not None else None
                return self.last(action), earlier
        return None, None


def roots(deployables: Iterable[Deployable]) -> set[str]:
    """The actions whose very files verdicts need: artifacts, io contracts, figures, checks."""
    found = set()
    for deployable in deployables:
        for ref in (
            deployable.artifact,
            deployable.io,
            deployable.evidence.measurement,
            deployable.evidence.benchmark,
            deployable.evidence.check,
        ):
            if ref is not None:
                found.add(ref.action)
    return found
