"""Random moves on a project and its store, and what must hold after each."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, rule

from buildsys.engine import building
from buildsys.engine.building import Outcome
from buildsys.engine.engine import Engine, Project, needed
from buildsys.engine.events import Event
from buildsys.engine.run import Settings
from buildsys.engine.scheduling.messages import ThreadPool, Threads
from buildsys.planner.graph import ActionGraph
from buildsys.store import memo
from tests.properties.checks import (
    Before,
    Broken,
    Checks,
    artifacts,
    hold,
    snapshot,
    truthful,
)
from tests.properties.clock import Clock
from tests.properties.runner import BREAKING, FAULTS, Died, Memory, Runner
from tests.properties.toy import (
    FILES,
    LABELS,
    MAY_BE_MISSING,
    PROJECT,
    STEPS,
    TOOLCHAINS,
    Toy,
    names_of,
    semantic_of,
)
from tests.properties.turns import Turns

TARGETS = (frozenset("xy"), frozenset("xy"), frozenset("xy"), frozenset("x"), frozenset("y"))
JOBS = st.integers(1, 8)
ALL = frozenset("xy")
PLACE = st.integers(0, 1 << 20)


def memory_folder() -> Path | None:
    """A file system in memory, where there is one."""
    folder = Path("/dev/shm")
    try:
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def move(**strategies: Any) -> Callable[[Any], Any]:
    """A rule that is noted, so that a failure tells what led to it.

    What is drawn never depends on what threads do: the same choices are the same moves.
    """

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def noted(self: Machine, **drawn: Any) -> None:
            self.moves.append(f"{function.__name__}({drawn})")
            try:
                function(self, **drawn)
            except Exception as error:
                self.found.append(str(error) if isinstance(error, Broken) else f"error: {error!r}")
                error.add_note("\n".join(self.moves))
                raise

        decorated: Any = rule(**strategies)
        return decorated(noted)

    return decorate


class Machine(RuleBasedStateMachine):
    """A project, a store, a folder of artifacts."""

    base: Path | None = memory_folder()
    found: ClassVar[list[str]] = []
    """What did not hold: names of properties, and by what they were broken."""
    threads = False
    """Whether the pool is one of real threads."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="modelbuild-properties-", dir=self.base))
        self.clock = Clock()
        self._make_threads: Callable[[int], Threads] = ThreadPool
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(memo, "time", self.clock)
        self.toy = Toy(self.home / "project", self.clock)
        self.root = self.home / "store"
        self.folder = self.home / "artifacts"
        self.memory = Memory()
        self.runner = Runner(self.toy, self.root, self.memory)
        self.known: dict[str, dict[str, str]] = {}
        self.moves: list[str] = []
        self.needed: set[str] = set()
        """Names of the stored files that the last build's verdicts need."""
        self.forgot = False
        self.fresh = False
        """Whether the last move was a build of everything that ended well."""

    def teardown(self) -> None:
        self._patch.undo()
        shutil.rmtree(self.home, ignore_errors=True)

    # What the moves are made of

    @property
    def project(self) -> Project:
        return Project(PROJECT, self.toy.folder, "deploy.yaml", self.folder)

    def engine(self, root: Path, runner: Runner) -> Engine:
        return Engine(
            root,
            self.toy.toolchains,
            executor=runner,
            threads=lambda size: self._make_threads(size),
        )

    def build(
        self,
        targets: frozenset[str],
        jobs: int,
        keep_going: bool,
        faults: dict[str, tuple[str, str, int]] | None = None,
        *,
        forbidden: bool = False,
        killed: bool = False,
    ) -> Outcome | None:
        """Plans, builds, and checks all that can be checked of one build."""
        self.fresh = False
        graph = self.toy.graph(targets)
        self.runner.begin(faults or {}, forbidden=forbidden)
        settings = Settings(jobs=jobs, max_failures=None if keep_going else 1, memory=1 << 50)
        self.take_turns(jobs)
        with self.engine(self.root, self.runner) as engine:
            before = self._before(engine, graph)
            mended: list[str] = []
            try:
                outcome = engine.mended(
                    lambda: building.build(engine, graph, self.project, settings, lambda _: None),
                    lambda message: self._mend(mended, message),
                )
            except Died:
                self._note(engine)
                hold("10 all from cache", not forbidden, f"{dict(self.runner.ran)} ran")
                return None
            self._note(engine)
            if mended:  # What was known of the last build went with the index.
                before = replace(before, last={}, known={}, mended=True)
            Checks(
                self.toy,
                self.runner,
                self.memory,
                graph,
                outcome,
                before,
                self.folder,
                keep_going,
            ).all()
            truthful(engine.mended(lambda: engine.index.all_traces(), lambda _: None), self.memory)
            if killed:
                saved = {p: p.read_bytes() for p in self.root.glob("index.sqlite*")}
        if killed:
            for path, data in saved.items():
                path.write_bytes(data)
        self.needed = {
            name
            for each in graph.deployables
            for digest in needed(each, outcome.run)
            for name in names_of(self.memory.contents[digest])
        }
        failed = outcome.run.failures or outcome.run.environment_error
        # What a killed build left in SQLite's log is moved by the next one that ends well.
        self.fresh = targets == ALL and not (failed or self.runner.edited or killed)
        return outcome

    def take_turns(self, seed: int) -> None:
        """The next build does one thing at a time."""
        if not self.threads:
            self._make_threads = lambda _: Turns(seed)

    def _before(self, engine: Engine, graph: ActionGraph) -> Before:
        def look() -> Before:
            walk = engine.walk(graph, self.project)
            planned = walk.states()
            last = {name: walk.last(action) for name, action in graph.actions.items()}
            return Before(planned, last, dict(self.known), artifacts(self.folder), self.forgot)

        return engine.mended(look, lambda _: None)

    def _mend(self, mended: list[str], message: str) -> None:
        """The index turned out to be damaged in the midst of a build: it begins again."""
        mended.append(message)
        self.runner.finished.clear()

    def _note(self, engine: Engine) -> None:
        """What the index knows from now on: all that ran, but for what could not be kept."""
        finished = {key for _, key in self.runner.finished}
        if self.runner.edited or self.runner.died:
            finished &= {semantic_of(trace.manifest) for trace in engine.index.all_traces()}
        for key in finished:
            self.known[key] = self.memory.made[key][-1]

    def settled(self, jobs: int = 1) -> bool:
        """Whether all is built, and all that it needs is there; it is built where it is not."""
        if not self.fresh:
            self.build(ALL, jobs, True)
        return self.fresh

    def again(self, **how: Any) -> None:
        """2: a second build runs nothing, writes nothing, changes no time."""
        before = snapshot(self.root, self.folder)
        outcome = self.build(ALL, 2, False, **how)
        assert outcome is not None
        hold("2 no-op", outcome.run.executed == [], f"{outcome.run.executed} ran again")
        after = snapshot(self.root, self.folder)
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        hold("2 no-op", not changed, f"{changed} were written")

    # Moves: the user's

    @move(
        name=st.sampled_from(FILES),
        value=st.integers(-1, 3),
        how=st.sampled_from(("place", "rename", "old")),
        tick=st.booleans(),
    )
    def edit_file(self, name: str, value: int, how: str, tick: bool) -> None:
        self.fresh = False
        if tick:
            self.clock.sleep(1)
        if value >= 0:
            self.toy.write(name, value, how)
        elif name in MAY_BE_MISSING:
            self.toy.write(name, None)
        else:
            self.toy.touch(name)

    @move(
        step=st.sampled_from(sorted(STEPS)),
        option=st.sampled_from(("gain", "gain", "colour")),
        value=st.integers(0, 2),
    )
    def edit_option(self, step: str, option: str, value: int) -> None:
        self.fresh = False
        self.toy.options[step][option] = value

    @move(what=st.sampled_from(("slim", "limit", *TOOLCHAINS, *LABELS)), value=st.integers(0, 3))
    def edit_recipe(self, what: str, value: int) -> None:
        self.fresh = False
        toolchains = self.toy.toolchains
        if what == "slim":
            self.toy.slim = bool(value % 2)
        elif what == "limit":
            self.toy.limit = value % 2 + 0.5
        elif what in LABELS:
            if value % 2 and len(self.toy.dropped) < 2:
                self.toy.dropped.add(what)
            else:
                self.toy.dropped.discard(what)
        elif value == 3:
            toolchains.missing.add(what)
        else:
            toolchains.numbers[what] = value

    @move(which=PLACE, how=st.sampled_from(("delete", "change", "add", "replace")))
    def touch_artifact(self, which: int, how: str) -> None:
        """Deletes or changes what was placed, keeping its size and time where it can."""
        found = sorted(p for p in self.folder.rglob("*.toy"))
        if not found:
            return
        self.fresh = False
        path = found[which % len(found)]
        inner = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        if how == "delete" or (how == "change" and not inner):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif how == "change":
            data = inner[0].read_bytes()
            inner[0].write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            self.clock.stamp(inner[0])
        elif how == "add" and path.is_dir():
            (path / "more").write_bytes(b"more")
            self.clock.stamp(path / "more")
        elif how == "replace":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            path.mkdir()
            (path / "other").write_bytes(b"other")

    # Moves: what befalls the store

    @move(which=PLACE, at=PLACE, how=st.sampled_from(("delete", "truncate", "flip", "replace")))
    def damage_object(self, which: int, at: int, how: str) -> None:
        found = sorted((self.root / "files").glob("??/*"))
        if not found:
            return
        self.fresh = False
        path = found[which % len(found)]
        self.memory.lost.add(path.name)
        data, other = path.read_bytes(), found[at % len(found)].read_bytes()
        path.unlink()
        if how == "truncate":
            path.write_bytes(data[: at % max(1, len(data))])
        elif how == "flip" and data:
            at %= len(data)
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        elif how == "replace":
            path.write_bytes(other if at % 2 else b"other")

    @move(
        step=st.sampled_from(("capture", "left", "sample")),
        below=st.sampled_from(("left", "slim", "run")),
        value=st.integers(0, 2),
        jobs=JOBS,
    )
    def make_again(self, step: str, below: str, value: int, jobs: int) -> None:
        """What is gone is needed again, and comes out otherwise: nothing may be built on both."""
        if not self.settled():
            return
        self.toy.options[below]["gain"] = value
        for made in self.memory.made.values():
            for outputs in made:
                if outputs.keys() == dict(STEPS[step].outputs).keys():
                    for digest in outputs.values():
                        name = digest.partition(":")[2]
                        self.runner.store.discard(digest)
                        self.memory.lost.add(name)
        self.build(ALL, jobs, False, {step: ("other bytes", "", 0)})

    @move(which=PLACE, at=PLACE, how=st.sampled_from(("truncate", "truncate", "delete")))
    def damage_state(self, which: int, at: int, how: str) -> None:
        """12: every truncation of every state file gives a rebuild or a clear message."""
        found = [*self.root.glob("index.sqlite*"), *self.root.glob("locks/*")]
        found += self.folder.glob(".placed.json")
        if not found:
            return
        self.fresh = False
        path = sorted(found)[which % len(found)]
        if path.name.startswith("index"):
            self.known.clear()
        elif path.name == ".placed.json":
            self.forgot = True
        if how == "delete":
            path.unlink()
            if path.name == "index.sqlite":
                for other in self.root.glob("index.sqlite-*"):
                    other.unlink()
        else:
            data = path.read_bytes()
            path.write_bytes(data[: at % (len(data) + 1)])

    @move(limit=st.sampled_from((0, 0, 300, 2000, None)))
    def collect(self, limit: int | None) -> None:
        """11: what `artifacts/` needs stays: all of it comes from the store afterwards."""
        if not self.root.exists():
            return
        complete = limit == 0 and self.settled() and not self.memory.lost & self.needed
        self.runner.collect(limit)
        if complete:
            try:
                shutil.rmtree(self.folder / "x", ignore_errors=True)
                outcome = self.build(ALL, 1, False, forbidden=True)
            except Broken as error:
                raise Broken("11 collection", str(error)) from error
            hold("11 collection", outcome is not None and not outcome.run.executed)

    # Moves: looking and building

    @move(chosen=st.sampled_from(TARGETS))
    def plan(self, chosen: frozenset[str]) -> None:
        """6: planning leaves the state as it was, byte by byte."""
        with self.engine(self.root, self.runner) as engine:
            pass  # The index is there.
        before = snapshot(self.root, self.folder, self.toy.folder)
        with self.engine(self.root, self.runner) as engine:
            engine.mended(
                lambda: engine.walk(self.toy.graph(chosen), self.project).states(), lambda _: None
            )
        hold("6 plan", before == snapshot(self.root, self.folder, self.toy.folder), "it wrote")

    @move(
        chosen=st.sampled_from(TARGETS), jobs=JOBS, keep_going=st.booleans(), killed=st.booleans()
    )
    def build_some(self, chosen: frozenset[str], jobs: int, keep_going: bool, killed: bool) -> None:
        self.build(chosen, jobs, keep_going, killed=killed)

    @move(jobs=JOBS)
    def build_all(self, jobs: int) -> None:
        self.build(ALL, jobs, False)

    @move(
        step=st.sampled_from(sorted(STEPS)),
        other=st.sampled_from(sorted(STEPS)),
        kind=st.sampled_from(FAULTS),
        second=st.sampled_from(BREAKING),
        file=st.sampled_from(("code/model", "code/helper", "a.bin", "b.bin")),
        value=st.integers(0, 3),
        jobs=JOBS,
        keep_going=st.booleans(),
    )
    def build_badly(
        self,
        step: str,
        other: str,
        kind: str,
        second: str,
        file: str,
        value: int,
        jobs: int,
        keep_going: bool,
    ) -> None:
        """Steps fail, hang, die, give other bytes; files change, garbage is collected meanwhile."""
        faults = {step: (kind, "", 0)}
        if kind == "edit":
            if self.toy.files[file] == value:
                return
            using = {"a.bin": "capture", "b.bin": "right"}.get(file, "capture")
            self.toy.options[using]["colour"] = 3 + len(self.moves)  # So that it runs.
            faults = {using: (kind, file, value)}
        elif kind in BREAKING and keep_going:
            faults[other] = (second, "", 0)
        self.build(ALL, jobs, keep_going, faults)

    @move(how=st.sampled_from(("plain", "forbidden")))
    def build_again(self, how: str) -> None:
        """2 and 10: with every worker made to raise."""
        if self.settled():
            self.again(forbidden=how == "forbidden")

    @move(name=st.sampled_from(FILES), value=st.integers(0, 3), jobs=JOBS)
    def edit_and_revert(self, name: str, value: int, jobs: int) -> None:
        """5: the build after the revert runs nothing."""
        if not self.settled() or self.toy.files[name] is None or self.memory.lost:
            return
        before = self.toy.files[name]
        self.toy.write(name, value)
        self.clock.sleep(1)
        first = self.build(ALL, jobs, False)
        self.toy.write(name, before)
        self.clock.sleep(1)
        outcome = self.build(ALL, jobs, False)
        if first is not None and outcome is not None and not self.memory.odd:
            hold("5 revert", outcome.run.executed == [], f"{outcome.run.executed} ran")

    @move(jobs=JOBS)
    def build_elsewhere(self, jobs: int) -> None:
        """1 and 7: another folder, an empty store, every order turned: the same keys and digests."""
        if not self.settled() or self.memory.odd:
            return
        elsewhere = self.home / "elsewhere"
        shutil.copytree(self.toy.folder, elsewhere / "project")
        root, folder = elsewhere / "store", elsewhere / "artifacts"
        found: list[dict[str, object]] = []
        kept = self.toy.folder
        try:
            for where, root_, folder_ in (
                (kept, self.root, self.folder),
                (elsewhere / "project", root, folder),
            ):
                self.toy.folder = where
                runner = Runner(self.toy, root_, Memory())
                graph = self.toy.graph(ALL, backwards=where is not kept)
                project = Project(PROJECT, where, "deploy.yaml", folder_)
                with self.engine(root_, runner) as engine:
                    if where is not kept:
                        settings = Settings(jobs=jobs, memory=1 << 50)
                        self.take_turns(jobs + 1)
                        building.build(engine, graph, project, settings, _ignore)
                    states = engine.walk(graph, project).states()
                found.append({n: (s.key, s.trace and s.trace.outputs) for n, s in states.items()})
        finally:
            self.toy.folder = kept
        hold("7 order-free", found[0] == found[1], "other keys or digests elsewhere")
        mine, clean = artifacts(self.folder), artifacts(folder)
        if self.forgot:  # What left the recipe may lie there: nobody knows that a build put it.
            mine = {name: data for name, data in mine.items() if name in clean}
        hold("1 correct", mine == clean, "other artifacts elsewhere")
        shutil.rmtree(elsewhere)


def _ignore(event: Event) -> None:
    """Nobody listens."""
