"""The project, built once; then looked at after each change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from buildsys.engine import session as sessions
from buildsys.engine.build import Settings
from buildsys.engine.keys import canonical
from buildsys.engine.session import Build, Plan, Session, open_recipe
from buildsys.engine.walk import Standing, State
from buildsys.planner import Catalog
from buildsys.planner.catalog import BUILT_IN, load_backends
from buildsys.planner.graph import Action, FileInput
from buildsys.report.record import report
from tests.mutation import project
from tests.mutation.environments import Installed
from tests.mutation.runner import Runner


@cache
def catalog() -> Catalog:
    """The backends of this package: what else is installed beside it has tests of its own."""
    return Catalog.load([b for b in load_backends() if b.folder.parent == BUILT_IN])


@dataclass(frozen=True)
class Seen:
    """What a change comes to.

    Attributes:
        rules: Rules of the steps whose own manifest is new, the outputs of other steps left aside.
        runs: How many steps are sure to run.
        labels: The deployables.
    """

    rules: frozenset[str]
    runs: int
    labels: tuple[str, ...]


Stamps = dict[str, tuple[int, int]]


class Bench:
    """A project folder and a store that has all of it.

    Attributes:
        folder: The project.
        store: The store.
        drifted: What environments hold beside what their locks say.
        first: The labels of the first build.
        report: The report of the first build.
    """

    def __init__(self, root: Path) -> None:
        self.folder, self.store = root / "project", root / "store"
        self.drifted: Mapping[str, str] = {}
        self.runner = Runner(self.store)
        project.create(self.folder)
        build = self.build()
        assert build.exit == 0, [v.reason for v in build.verdicts if v.reason]
        self.report = report(build)
        self.built = tuple(self.runner.ran)
        plan = self.plan()
        assert not plan.has_work
        self.labels = tuple(d.deployable.label for d in plan.deployables)
        self._records = frozenset(_records(plan))

    def write(self, recipe: str | project.Tree) -> None:
        """Writes the recipe."""
        text = recipe if isinstance(recipe, str) else dumped(recipe)
        (self.folder / "deploy.yaml").write_bytes(text.encode())

    @contextmanager
    def session(self, path: Path | None = None) -> Iterator[Session]:
        """A session on the recipe as it is now."""

        def provisioner(*given: Any, **named: Any) -> Installed:
            return Installed(*given, drifted=self.drifted, **named)

        recipe = open_recipe(path or self.folder / "deploy.yaml", catalog(), os.environ)
        with mock.patch.object(sessions, "Provisioner", provisioner):
            session = Session(recipe, catalog(), root=self.store, executor=self.runner)
        with session:
            yield session

    def plan(self) -> Plan:
        """Plans."""
        with self.session() as session:
            return session.plan()

    def build(
        self, *, path: Path | None = None, jobs: int = 4, out: Path | None = None
    ) -> Build:
        """Builds."""
        self.runner.ran = []
        with self.session(path) as session:
            return session.build(settings=Settings(jobs=jobs, max_failures=None), out=out)

    def seen(self) -> Seen:
        """What a build would do now, that the first one has not done."""
        plan = self.plan()
        return Seen(
            frozenset(rule for rule, record in _records(plan) - self._records),
            plan.count(State.RUN),
            tuple(d.deployable.label for d in plan.deployables),
        )

    def stamps(self) -> Stamps:
        """When each placed file was written, and its inode."""
        artifacts = self.folder / "artifacts"
        found = {p: p.stat() for p in sorted(artifacts.rglob("*")) if p.is_file()}
        return {str(p): (status.st_mtime_ns, status.st_ino) for p, status in found.items()}


def dumped(recipe: project.Tree) -> str:
    """YAML in block style, in the order of the tree."""
    text: str = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    return text


def _records(plan: Plan) -> set[tuple[str, bytes]]:
    return {
        (action.rule, _own(action, plan.standings[name])) for name, action in plan.graph.actions.items()
    }


def _own(action: Action, standing: Standing) -> bytes:
    """A step's manifest without what other steps gave."""
    record = dict(standing.manifest)
    inputs = record.get("inputs", {})
    record["inputs"] = {
        name: inputs.get(name) if isinstance(given, FileInput) else [given.output]
        for name, given in action.inputs.items()
    }
    return canonical(record)


def shown(build: Build) -> str:
    """The report as text."""
    return json.dumps(report(build), sort_keys=True)
