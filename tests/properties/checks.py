"""The thirteen properties, as far as one build shows them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from buildsys.engine.building import Outcome
from buildsys.engine.outcome.verdicts import Status, Verdict, exit_status
from buildsys.engine.staleness import keys
from buildsys.engine.staleness.walk import Standing, State
from buildsys.planner.graph import ActionGraph, FileInput, OutputRef
from buildsys.store import Trace
from tests.properties.runner import BREAKING, Memory, Runner
from tests.properties.toy import Content, Toy, digest_of, names_of, number, semantic, semantic_of


class Broken(AssertionError):
    """A property does not hold: its name, and by what it was broken."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")


def hold(name: str, condition: bool, message: object = "") -> None:
    if not condition:
        raise Broken(name, str(message))


@dataclass
class Before:
    """What was known before a build."""

    planned: Mapping[str, Standing]
    last: Mapping[str, Trace | None]
    known: Mapping[str, Mapping[str, str]]
    artifacts: Mapping[str, bytes]
    forgot: bool
    mended: bool = False
    """Whether the build began again, with an empty index."""


class Checks:
    """Looks at one build that came to its end."""

    def __init__(
        self,
        toy: Toy,
        runner: Runner,
        memory: Memory,
        graph: ActionGraph,
        outcome: Outcome,
        before: Before,
        folder: Path,
        keep_going: bool,
    ) -> None:
        self.toy = toy
        self.runner = runner
        self.memory = memory
        self.graph = graph
        self.outcome = outcome
        self.run = outcome.run
        self.before = before
        self.folder = folder
        self.keep_going = keep_going
        self.faulty = {n for n, (kind, _, _) in runner.faults.items() if kind in BREAKING}
        self.edits = bool(runner.edited)
        self.semantics: dict[str, str] = {}

    def all(self) -> None:
        self.failures()
        self.correct()
        self.artifacts()
        self.minimal()
        self.sound()
        self.why()

    # 1. correct

    def correct(self) -> None:
        """Every step gave what it gives for what those above it gave, down from the disk's files."""
        for action in self.graph.actions.values():
            trace = self.run.trace(action.id)
            if trace is None or any(self.run.trace(name) is None for name in action.upstream()):
                continue  # It was known; what was needed again of what is above it failed.
            digests = {n: o.digest for n, o in trace.outputs.items()}
            possible = list(self._semantics(action.id))
            known = [made for each in possible for made in self.memory.made.get(each, ())]
            hold("1 correct", digests in known, f"{action.id} is not what its inputs give")
            self.semantics[action.id] = next(
                each for each in possible if digests in self.memory.made.get(each, ())
            )
        for verdict in self.outcome.verdicts:
            if verdict.measurement is not None and verdict.artifact is not None:
                of = verdict.measurement.record["of"]
                hold("1 correct", of == verdict.artifact.digest, "an artifact with other figures")

    def _semantics(self, name: str) -> Iterator[str]:
        """What the step may have read: of a file that others edited meanwhile, either state."""
        action = self.graph.actions[name]
        choices: list[dict[str, str | None]] = [{}]
        for key, given in action.inputs.items():
            if isinstance(given, FileInput):
                contents = self._contents(given.path.relative_to(self.toy.folder).as_posix(), name)
                found = [None if c is None else digest_of(c) for c in contents]
            else:
                above = self.run.trace(given.action)
                if above is None:
                    return
                found = [above.outputs[given.output].digest]
            choices = [{**choice, key: digest} for choice in choices for digest in found]
        fingerprint = (
            self.toy.toolchains.fingerprint(action.environment) if action.environment else None
        )
        for inputs in choices:
            yield semantic(action, self.toy.implementation(), fingerprint, inputs, self.toy.reads())

    def _contents(self, name: str, action: str) -> list[Content | None]:
        now = self.toy.content(name)
        if not self.edits or action in self.runner.edited.get(name, ()) or name == "data":
            return [now]
        seen = self.toy.seen.get(name, {self.toy.files[name]})
        return [now, *(None if v is None else number(v) for v in seen)]

    # 8. a failed action leaves no trace

    def failures(self) -> None:
        missing = {
            name
            for name, action in self.graph.actions.items()
            for given in action.inputs.values()
            if isinstance(given, FileInput) and not given.path.exists()
        }
        failed = set(self.run.failures)
        hold("8 failures", failed <= self.faulty | missing, f"{failed} failed for no reason")
        for name in failed:
            hold("8 failures", self.run.trace(name) is None, f"{name} failed and has a trace")
        gave_up = bool(failed) and not self.keep_going
        if not gave_up and self.run.environment_error is None:
            for name, action in self.graph.actions.items():
                below = set(self.graph.below_all([OutputRef(name, "")])) & failed
                hold(
                    "1 correct", bool(below) or self.run.trace(name) is not None, f"no {action.id}"
                )
        self.exit()

    def exit(self) -> None:
        found = exit_status(self.run, self.outcome.verdicts, False)
        statuses = {v.status for v in self.outcome.verdicts}
        if self.run.environment_error is not None:
            expected = 5
        elif self.run.failures:
            expected = 1
        else:
            hold("9 damage", not statuses & {Status.FAILED, Status.BLOCKED}, statuses)
            expected = 3 if Status.REJECTED in statuses else 0
        hold("9 damage", found == expected, f"exit status {found}, not {expected}")

    # Artifacts: what lies there is what the verdicts say

    def artifacts(self) -> None:
        expected: dict[str, bytes] = {}
        chosen = set()
        for verdict in self.outcome.verdicts:
            name = f"{verdict.deployable.target}/{verdict.deployable.filename}"
            chosen |= {name, f".rejected/{name}"}
            status = self._status(verdict)
            hold("1 correct", verdict.status is status, f"{name} is {verdict.status}, not {status}")
            if verdict.artifact is None or status in (Status.FAILED, Status.BLOCKED):
                continue
            place = name if status.shipped else f".rejected/{name}"
            expected |= files(place, self.memory.contents[verdict.artifact.digest])
        labels = {f"{label}.toy" for label in self.graph.labels}
        for name, data in self.before.artifacts.items():
            owner = "/".join(name.removeprefix(".rejected/").split("/")[:2])
            if owner in labels and not any(name.startswith(c) for c in chosen):
                expected[name] = data  # Of a target that was not selected: left alone.
        found = artifacts(self.folder)
        stray = [n for n in found if n not in expected]
        if self.before.forgot:
            stray = [n for n in stray if any(n.startswith(label) for label in labels)]
        hold("1 correct", not stray, f"{stray} must not lie among the artifacts")
        for name, data in expected.items():
            hold("1 correct", found.get(name) == data, f"{name} is not what was built")

    def _status(self, verdict: Verdict) -> Status:
        for name in verdict.deployable.actions:
            if name in self.run.failures:
                return Status.FAILED
        if any(name in self.run.skipped for name in verdict.deployable.actions):
            return Status.BLOCKED
        figures = verdict.deployable.evidence.measurement
        if figures is None:
            return Status.UNVERIFIED
        trace = self.run.trace(figures.action)
        assert trace is not None
        content = self.memory.contents[trace.outputs[figures.output].digest]
        assert isinstance(content, bytes)
        value = json.loads(content)["outputs"]["y"]["max_abs"]
        return Status.VERIFIED if value <= self.toy.limit else Status.REJECTED

    # 3. minimal, 4. cutoff

    def minimal(self) -> None:
        """Nothing runs that is known and there; nothing runs twice."""
        seen: set[str] = set()
        lost = self.runner.lost_before | self.memory.lost
        for name, key in self.runner.finished:
            hold("3 minimal", key not in seen or self.edits, f"{name} ran twice")
            seen.add(key)
            known = self.before.known.get(key)
            if known is None or self._any_lost(known, lost):
                continue
            last = self.before.last.get(name)
            above = self.graph.actions[name].upstream()
            cut = any(each in self.run.executed for each in above)
            same = last is not None and semantic_of(last.manifest) == key
            which = "4 cutoff" if cut and same else "3 minimal"
            hold(which, False, f"{name} ran, and what it gives was known")

    def _any_lost(self, outputs: Mapping[str, str], lost: set[str]) -> bool:
        return any(
            name in lost for d in outputs.values() for name in names_of(self.memory.contents[d])
        )

    # 6. the plan was sound

    def sound(self) -> None:
        if self.edits or self.before.mended:
            return
        executed = set(self.run.executed)
        sure = {n for n, s in self.before.planned.items() if s.state is State.RUN}
        maybe = {n for n, s in self.before.planned.items() if s.state is State.MAYBE}
        if not self.run.failures and self.run.environment_error is None:
            left = {name for name in sure - executed if not self._fed_otherwise(name)}
            hold("6 plan", not left, f"{left} was said to run")
        if self.memory.odd or any(kind == "collect" for kind, _, _ in self.runner.faults.values()):
            return  # Other bytes come by surprise.
        for name in executed - sure - maybe:
            # A plan does not hash what is stored: damage that keeps the size comes by surprise.
            standing = self.before.planned[name]
            outputs = (
                {n: o.digest for n, o in standing.trace.outputs.items()} if standing.trace else {}
            )
            surprise = self._any_lost(outputs, self.runner.lost_before | self.memory.lost)
            hold("6 plan", surprise, f"{name} ran, and was said to be a hit")

    def _fed_otherwise(self, name: str) -> bool:
        """Whether something above an action was lost, and came out otherwise when it was made again.

        With these bytes the action may have run before, which no plan can know.
        """
        above = self.graph.actions[name].upstream()
        for each in above:
            standing, trace = self.before.planned[each], self.run.trace(each)
            if each in self.run.executed and standing.trace is not None and trace is not None:
                before = {n: o.digest for n, o in standing.trace.outputs.items()}
                if before != {n: o.digest for n, o in trace.outputs.items()}:
                    return True
        return any(self._fed_otherwise(each) for each in above)

    # 13. why

    def why(self) -> None:
        for name in self.run.executed:
            last, trace = self.before.last.get(name), self.run.trace(name)
            if last is None or trace is None or name in self.run.failures:
                continue
            outputs = {n: o.digest for n, o in last.outputs.items()}
            if self._any_lost(outputs, self.runner.lost_before | self.memory.lost):
                continue
            hold("13 why", bool(keys.changes(last.manifest, trace.manifest)), f"{name} ran: why?")


def truthful(traces: list[Trace], memory: Memory) -> None:
    """8: what is on record was made, by just these inputs."""
    for trace in traces:
        digests = {n: o.digest for n, o in trace.outputs.items()}
        made = memory.made.get(semantic_of(trace.manifest), ())
        hold("8 failures", digests in made, f"a trace of {trace.manifest['rule']} tells a lie")


def files(place: str, content: Content) -> dict[str, bytes]:
    if isinstance(content, bytes):
        return {place: content}
    return {f"{place}/{name}": data for name, data in content.items()}


def artifacts(folder: Path) -> dict[str, bytes]:
    """What lies among the artifacts, but for the record."""
    found = {}
    top = os.fspath(folder)
    for root, _, names in os.walk(top):
        for name in names:
            if name != ".placed.json":
                with open(os.path.join(root, name), "rb") as stream:
                    found[os.path.join(root, name)[len(top) + 1 :]] = stream.read()
    return found


def snapshot(*folders: Path) -> dict[str, tuple[int, int, int]]:
    """Size, time and inode of all files; SQLite's shared memory is none of the state."""
    found = {}
    for folder in folders:
        for root, folders_, names in os.walk(folder):
            for name in names:
                if not name.endswith(("-wal", "-shm")):
                    path = os.path.join(root, name)
                    status = os.lstat(path)
                    found[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
            found |= {os.path.join(root, name): (0, 0, 0) for name in folders_}
    return found
