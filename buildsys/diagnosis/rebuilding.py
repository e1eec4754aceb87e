"""Makes each step again in an empty store, and compares what it gives with what it gave.

The second time is in another folder, in other processes, with another seed of Python's hashes; the
toolchains are the same. What then differs depends on something that no key holds, and a shared cache
would hand it to others as if it did not.
"""

from __future__ import annotations

import enum
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildsys.backends.output import Output
from buildsys.engine import building
from buildsys.engine.engine import Engine, Project
from buildsys.engine.executors import LocalExecutor
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.run import Run, Settings
from buildsys.engine.session import Session
from buildsys.engine.staleness.keys import changes
from buildsys.exit_status import ExitStatus
from buildsys.planner.conversion.normalizing import make_normalising, normaliser_of
from buildsys.planner.graph import Action, ActionGraph, OutputRef
from buildsys.store import CorruptObject, Store, Stored, Trace

VERSION = 1
HASH_SEED = "4242"
"""Of the second time; workers have 0 otherwise."""


class Held(enum.StrEnum):
    """What became of an output, or of a step: the best of its outputs' worst."""

    BYTES = "bytes"
    """The same bytes."""
    NORMALISED = "normalised"
    """Other bytes that mean the same: times and memory aside, or as its format's normaliser says."""
    DECLARED = "declared"
    """Other bytes, and the step says of itself that it is not reproducible."""
    INPUTS = "inputs"
    """Other bytes, and it was given other inputs: nothing is known of the step itself."""
    DIFFERS = "differs"
    """Other bytes from the same inputs, though the step claims to be reproducible."""
    FAILED = "failed"
    """It gave nothing the second time."""
    SKIPPED = "skipped"
    """It did not run: this machine cannot do it, or a step above it gave nothing."""


ORDER = tuple(Held)


@dataclass(frozen=True)
class Compared:
    """An output.

    Attributes:
        name: What other steps call it.
        filename: Its name on the disk.
        held: What became of it.
        before: Its digest, of the first time.
        now: Its digest, of the second.
        reason: What was normalised, or why it could not be.
    """

    name: str
    filename: str
    held: Held
    before: str
    now: str
    reason: str | None = None


@dataclass(frozen=True)
class Step:
    """A step that was made again.

    Attributes:
        id: The action's.
        rule: Its rule.
        toolchain: Where it ran.
        labels: The deployables that need it.
        held: What became of it.
        outputs: Its outputs.
        inputs: The inputs that were others the second time.
        reason: Why there is nothing to compare.
    """

    id: str
    rule: str
    toolchain: str | None
    labels: tuple[str, ...]
    held: Held
    outputs: tuple[Compared, ...] = ()
    inputs: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Rebuilt:
    """All steps of the selected deployables."""

    steps: tuple[Step, ...]

    @property
    def exit(self) -> int:
        """The command's exit status: 1 a step failed, 3 one did not hold that claims to."""
        found = {step.held for step in self.steps}
        if Held.FAILED in found:
            return ExitStatus.FAILED
        return ExitStatus.REJECTED if Held.DIFFERS in found else ExitStatus.OK

    def to_json(self) -> dict[str, Any]:
        """The form of `verify --rebuild --json`; docs/reports.md describes it."""
        return {
            "version": VERSION,
            "exit": self.exit,
            "summary": {held.value: sum(s.held is held for s in self.steps) for held in Held},
            "steps": [
                {
                    "id": step.id,
                    "rule": step.rule,
                    "toolchain": step.toolchain,
                    "deployables": list(step.labels),
                    "held": step.held.value,
                    "reason": step.reason,
                    "other_inputs": list(step.inputs),
                    "outputs": [
                        {
                            "name": output.name,
                            "filename": output.filename,
                            "held": output.held.value,
                            "before": output.before,
                            "now": output.now,
                            "reason": output.reason,
                        }
                        for output in step.outputs
                    ],
                }
                for step in self.steps
            ],
        }


def rebuild(
    session: Session,
    selectors: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    listener: Listener = ignore,
) -> Rebuilt:
    """Makes the steps of deployables again.

    What has not been made yet, or is stale, is made first. Nothing is placed.

    Args:
        session: The recipe and the store.
        selectors: Targets, labels or globs; all deployables where there is none.
        settings: How to run.
        listener: Is told what happens, of both times.

    Raises:
        RecipeError: A deployable has no route.
        NoMatch: A selector matches nothing.
        StoreError: A store cannot be written.
        ToolchainError: A toolchain cannot be made.
    """
    settings = settings or Settings()
    graph, project = session.graph(selectors), session.project()
    first = session.engine.mended(
        lambda: building.give(session.engine, graph, project, settings, listener)[0], lambda _: None
    )
    if first.environment_error is not None:
        raise first.environment_error
    with tempfile.TemporaryDirectory(prefix="modelbuild-rebuild-") as folder:
        root = Path(folder).resolve() / "store"
        executor = LocalExecutor(Store(root), variables={"PYTHONHASHSEED": HASH_SEED})
        again = Engine(root, session.environments, executor=executor)
        elsewhere = Project(project.name, project.folder, project.recipe, Path(folder) / "out")
        try:
            with again:
                second, _ = building.give(again, graph, elsewhere, settings, listener)
                comparing = Comparing(session, graph, first, second, again, elsewhere, settings)
                return Rebuilt(tuple(comparing.steps(Path(folder) / "pairs")))
        finally:
            executor.close()


class Comparing:
    """Compares what two runs of one graph gave."""

    def __init__(
        self,
        session: Session,
        graph: ActionGraph,
        first: Run,
        second: Run,
        again: Engine,
        project: Project,
        settings: Settings,
    ) -> None:
        self._session = session
        self._graph = graph
        self._first, self._second = first, second
        self._again = again
        self._project = project
        self._settings = settings
        catalog = session.catalog
        self._unreproducible = {r.name for _, r in catalog.rules if not r.reproducible}

    def steps(self, folder: Path) -> list[Step]:
        """Every step, in the graph's order.

        Args:
            folder: Where artifacts are put that must be normalised.
        """
        normal = self._normalised(folder)
        return [self._step(action, normal) for action in self._graph.actions.values()]

    def _step(self, action: Action, normal: Mapping[str, bool | str]) -> Step:
        before, now = self._first.trace(action.id), self._second.trace(action.id)

        def step(held: Held, *rest: Any) -> Step:
            labels = tuple(action.labels)
            return Step(action.id, action.rule, action.environment, labels, held, *rest)

        if before is None:
            reason = self._why_not(self._first, action.id)
            return step(Held.SKIPPED, (), (), f"there is nothing to compare with: {reason}")
        if now is None:
            failed = action.id in self._second.failures
            reason = self._why_not(self._second, action.id)
            return step(Held.FAILED if failed else Held.SKIPPED, (), (), reason)
        inputs = _other_inputs(before, now)
        outputs = tuple(
            self._output(action, o, before, now, bool(inputs), normal) for o in action.outputs
        )
        return step(max((o.held for o in outputs), key=ORDER.index), outputs, inputs)

    @staticmethod
    def _why_not(run: Run, name: str) -> str:
        if name in run.failures:
            return run.failures[name].message
        return run.skipped.get(name, "it was not reached")

    def _output(
        self,
        action: Action,
        output: Output,
        before: Trace,
        now: Trace,
        fed_otherwise: bool,
        normal: Mapping[str, bool | str],
    ) -> Compared:
        old, new = before.outputs[output.name], now.outputs[output.name]

        def compared(held: Held, reason: str | None = None) -> Compared:
            return Compared(output.name, output.filename, held, old.digest, new.digest, reason)

        if old.digest == new.digest:
            return compared(Held.BYTES)
        reason = None
        if output.measured:
            same = self._same_but(output.measured, old, new)
            reason = f"without {', '.join(f'`{name}`' for name in output.measured)}"
            if same is True:
                return compared(Held.NORMALISED, reason)
            reason = same or f"also {reason}"
        elif output.name == "artifact" and action.id in normal:
            found = normal[action.id]
            if found is True:
                return compared(Held.NORMALISED, "as its format's normaliser writes it")
            reason = found or "also as its format's normaliser writes it"
        if fed_otherwise:
            return compared(Held.INPUTS, reason)
        if action.rule in self._unreproducible:
            return compared(Held.DECLARED, reason)
        return compared(Held.DIFFERS, reason)

    def _same_but(self, fields: Iterable[str], old: Stored, new: Stored) -> bool | str:
        """Whether two JSON files are the same without some fields; a sentence where that is unknown."""
        try:
            records = [
                json.loads(self._session.engine.store.read(old.digest)),
                json.loads(self._again.store.read(new.digest)),
            ]
        except CorruptObject:
            return "the first one's file is gone from the store"
        for record in records:
            for name in fields:
                record.pop(name, None)
        return bool(records[0] == records[1])

    def _normalised(self, folder: Path) -> dict[str, bool | str]:
        """By action whose artifact's bytes differ: whether it is the same once it is normalised."""
        found: dict[str, bool | str] = {}
        files: dict[str, tuple[str, Path]] = {}
        pairs: list[str] = []
        for action in self._graph.actions.values():
            before, now = self._first.trace(action.id), self._second.trace(action.id)
            normaliser = normaliser_of(self._session.catalog, action)
            if before is None or now is None or "artifact" not in before.outputs:
                continue
            old, new = before.outputs["artifact"], now.outputs["artifact"]
            if old.digest == new.digest or normaliser is None:
                continue
            name = normaliser[0]
            suffix = self._session.catalog.formats[name].suffix
            paths = [folder / f"{len(pairs)}-{which}{suffix}" for which in ("before", "now")]
            try:
                self._session.engine.store.restore(old.digest, paths[0])
                self._again.store.restore(new.digest, paths[1])
            except CorruptObject:
                found[action.id] = "the first one's file is gone from the store"
                continue
            pairs.append(action.id)
            for which, path in zip(("before", "now"), paths, strict=True):
                files[f"{action.id}:{which}"] = (name, path)
        if pairs:
            found |= self._normals(pairs, files)
        return found

    def _normals(
        self, pairs: list[str], files: Mapping[str, tuple[str, Path]]
    ) -> dict[str, bool | str]:
        graph, refs = make_normalising(self._session.catalog, files)
        run, normal = building.give(self._again, graph, self._project, self._settings, ignore)
        found: dict[str, bool | str] = {}
        for name in pairs:
            sides: list[OutputRef] = [refs[f"{name}:{which}"] for which in ("before", "now")]
            failed = [run.failures[ref.action] for ref in sides if ref.action in run.failures]
            if failed:
                found[name] = f"it could not be normalised: {failed[0].message}"
            else:
                found[name] = normal.get(sides[0], b"") == normal.get(sides[1])
        return found


def _other_inputs(before: Trace, now: Trace) -> tuple[str, ...]:
    """What a step was given otherwise; all but its inputs is the same graph's, and mostly the same."""
    return tuple(change.field for change in changes(before.manifest, now.manifest))
