"""The project, built once; then looked at after each change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from buildsys.backends import BUILT_IN
from buildsys.backends.base import Backend, Rule, Runtime
from buildsys.backends.toolchain import Toolchain
from buildsys.engine import session as sessions
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.engine.session import Session, open_recipe
from buildsys.engine.staleness.keys import canonical
from buildsys.engine.staleness.walk import Standing, State
from buildsys.planner.catalog import Catalog, load_backends
from buildsys.planner.graph import Action, ActionGraph, FileInput
from buildsys.report.record import report
from tests.mutation import recipe as full
from tests.mutation.environments import INTERPRETER, Installed
from tests.mutation.runner import Runner


@cache
def catalog() -> Catalog:
    """The backends of this package: what else is installed beside it has tests of its own."""
    return Catalog.load([_able(b) for b in load_backends() if b.folder.parent == BUILT_IN])


def _able(backend: Backend) -> Backend:
    """A backend as on a machine that has whatever its rules and runtimes look for."""
    rules = tuple(
        replace(rule, available=Rule.available, machine=lambda: {"gpu": "one"}, resources={})
        if rule.asks_machine
        else rule
        for rule in backend.rules
    )
    formats = tuple(
        replace(each, runtime=replace(each.runtime, available=Runtime.available, resources={}))
        if each.runtime is not None
        else each
        for each in backend.formats
    )
    return replace(backend, formats=formats, rules=rules)


@dataclass(frozen=True)
class Seen:
    """What a change comes to.

    Attributes:
        rules: Rules of the steps whose own manifest is new, the outputs of other steps left aside.
        runs: How many steps are sure to run.
    """

    rules: frozenset[str]
    runs: int


@dataclass(frozen=True)
class Look:
    """A graph, and where its actions stand."""

    graph: ActionGraph
    standings: dict[str, Standing]

    def stale(self, *states: State) -> list[str]:
        """The actions that would or might run; or those in the given states."""
        wanted = states or (State.RUN, State.MAYBE)
        return [name for name, standing in self.standings.items() if standing.state in wanted]

    def records(self) -> set[tuple[str, bytes]]:
        """Rule and own manifest of each action."""
        return {(a.rule, _own(a, self.standings[name])) for name, a in self.graph.actions.items()}

    def essence(self) -> str:
        """All that decides what a build gives, and how it comes there."""
        routes = [(d.label, d.route.rules) for d in self.graph.deployables]
        return repr([sorted(self.records()), routes])


OTHER = "other files than before"
Stamps = dict[str, tuple[int, int]]


class Bench:
    """A project folder and a store that has all of it.

    Attributes:
        folder: The project.
        store: The store.
        drifted: What environments hold beside what their locks say.
        interpreter: What they were made with.
        locks: Files that take the place of toolchains' own locks.
        catalog: The backends.
        report: The report of the first build, as text.
        graph: Its actions.
        built: Whether there was another build since.
    """

    def __init__(self, root: Path) -> None:
        self.folder, self.store = root / "project", root / "store"
        self.reset()
        self.runner = Runner(self.store)
        full.create(self.folder)
        build = self.build()
        assert build.exit == 0, [v.reason for v in build.verdicts if v.reason]
        self.report = self.shown(build)
        self.graph = build.graph
        looked = self.look()
        assert not looked.stale()
        self._records = frozenset(looked.records())
        self.built = False

    @classmethod
    def again(cls, root: Path) -> Bench:
        """The bench that another process has made."""
        bench = cls.__new__(cls)
        bench.folder, bench.store = root / "project", root / "store"
        bench.reset()
        bench.runner = Runner(bench.store)
        return bench

    def reset(self) -> None:
        """Takes back what was changed outside of the project."""
        self.drifted: Mapping[str, str] = {}
        self.interpreter = INTERPRETER
        self.locks: Mapping[str, Path] = {}
        self.catalog = catalog()

    def write(self, recipe: str | full.Tree) -> None:
        """Writes the recipe."""
        text = recipe if isinstance(recipe, str) else json.dumps(recipe)
        (self.folder / "deploy.yaml").write_bytes(text.encode())

    @contextmanager
    def session(self, path: Path | None = None) -> Iterator[Session]:
        """A session on the recipe as it is now."""

        def provisioner(
            root: Path, declared: Mapping[str, Toolchain], overrides: Mapping[str, Path], **_: Any
        ) -> Installed:
            toolchains = {
                name: replace(toolchain, lock=self.locks.get(name, toolchain.lock))
                for name, toolchain in declared.items()
            }
            return Installed(root, toolchains, overrides, self.drifted, self.interpreter)

        recipe = open_recipe(path or self.folder / "deploy.yaml", self.catalog, os.environ)
        with mock.patch.object(sessions, "Provisioner", provisioner):
            session = Session(recipe, self.catalog, root=self.store, executor=self.runner)
        with session:
            yield session

    def look(self) -> Look:
        """What `plan` would look at."""
        with self.session() as session:
            graph = session.graph()
            return Look(graph, session.engine.walk(graph, session.project()).states())

    def code(self) -> set[Path]:
        """The files that all steps of the project are made of."""
        with self.session() as session:
            actions = session.graph().actions.values()
            known = session.engine.implementations
            return {file for each in actions for file in known.files(each.worker).values()}

    def build(self, *, path: Path | None = None, jobs: int = 4, out: Path | None = None) -> Build:
        """Builds."""
        self.runner.ran = []
        self.built = True
        with self.session(path) as session:
            return session.build(settings=Settings(jobs=jobs, max_failures=None), out=out)

    def seen(self) -> Seen:
        """What a build would do now, that the first one has not done."""
        look = self.look()
        rules = frozenset(rule for rule, _ in look.records() - self._records)
        return Seen(rules, len(look.stale(State.RUN)))

    @staticmethod
    def shown(build: Build) -> str:
        """The report as text."""
        return json.dumps(report(build), sort_keys=True)

    def stamps(self) -> Stamps:
        """When each placed file was written, and its inode."""
        artifacts = self.folder / "artifacts"
        found = {p: p.stat() for p in sorted(artifacts.rglob("*")) if p.is_file()}
        return {str(p): (status.st_mtime_ns, status.st_ino) for p, status in found.items()}


def _own(action: Action, standing: Standing) -> bytes:
    """A step's manifest without what other steps gave."""
    record = dict(standing.manifest)
    found = record.pop("discovered", None)
    if action.user_code and found is None and standing.state is State.RUN and not standing.reason:
        record["discovered"] = OTHER
    inputs = record.get("inputs", {})
    record["inputs"] = {
        name: inputs.get(name) if isinstance(given, FileInput) else [given.output]
        for name, given in action.inputs.items()
    }
    return canonical(record)


def tidy(bench: Bench) -> None:
    """Puts the project back as it was built; proves that it is."""
    bench.reset()
    full.restore(bench.folder)
    if bench.built:
        bench.build()
        bench.built = False
        assert bench.runner.ran == []
