"""Brings a graph up to date against one store: looks, runs, judges, places. Knows nothing of recipes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from buildsys.backends.kit.run.machine import machine_name
from buildsys.engine.environments import Environments
from buildsys.engine.events import Listener, warning
from buildsys.engine.executors import LocalExecutor
from buildsys.engine.executors.executor import Executor
from buildsys.engine.outcome.placing import Placing, refuse_obstacles
from buildsys.engine.outcome.verdicts import Judge, Verdict
from buildsys.engine.run import Run, Settings
from buildsys.engine.scheduling.claims import Claims
from buildsys.engine.scheduling.coordinator import Coordinator
from buildsys.engine.scheduling.lease import Lease
from buildsys.engine.scheduling.messages import ThreadPool, Threads
from buildsys.engine.staleness.implementation import HOST, Implementations
from buildsys.engine.staleness.walk import Walk, roots
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.store import CorruptObject, DamagedIndex, Index, Memo, Store, StoreError
from buildsys.store.inventory import ARTIFACTS, LOCKS

LEFTOVERS_SECONDS = 7 * 86_400
"""How long the folders of failed steps, and what killed builds left, are kept."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Project:
    """What is built.

    Attributes:
        name: Under which history is kept.
        folder: Where its own code runs, and what discovered paths are relative to.
        recipe: The recipe's path relative to `artifacts`: several may share that folder.
        artifacts: Where artifacts go.
    """

    name: str
    folder: Path
    recipe: str
    artifacts: Path


@dataclass(frozen=True)
class Outcome:
    """The result of building a graph.

    Attributes:
        run: What happened to the actions.
        verdicts: One a deployable.
        paths: Where each artifact lies, by label.
        processes: How many processes were started.
    """

    run: Run
    verdicts: list[Verdict]
    paths: dict[str, Path]
    processes: int


class Engine:
    """One store, opened; a context manager that closes its index.

    Attributes:
        root: The store's folder.
        store: Its files.
        index: What it knows of them.
        memo: Digests of files on disk.
        looked: The last walk that was made.

    Args:
        root: The store's folder.
        environments: Where workers run.
        executor: Runs actions; worker processes on this machine by default.
        threads: Makes the threads of a build, given how many there are at most.
        salt: Mixed into every key, to force a build of its own.
    """

    def __init__(
        self,
        root: Path,
        environments: Environments,
        *,
        executor: Executor | None = None,
        threads: Callable[[int], Threads] = ThreadPool,
        salt: str = "",
    ) -> None:
        self.root = root
        self.store = Store(root)
        self.environments = environments
        self.looked: Walk | None = None
        self._executor = executor
        self._threads = threads
        self._salt = salt

    def __enter__(self) -> Engine:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.index.close()

    def _open(self) -> None:
        self.index = Index(self.root)
        self.memo = Memo(self.index)
        self.implementations = Implementations(self.memo, self.index)

    def save(self) -> None:
        """Writes down what was learnt of files: their digests, and what source files need."""
        self.memo.save()
        self.implementations.save()

    def mended(self, do: Callable[[], Result], on_damage: Callable[[str], None]) -> Result:
        """Does something with the index; once more where it turns out to be damaged.

        What a damaged index knew is found out again, so it has been set aside by then.
        """
        said = "the store's index was damaged and is made anew"
        try:
            if self.index.damage is not None:
                on_damage(f"{said} ({self.index.damage})")
                self.index.damage = None
            return do()
        except DamagedIndex as error:
            on_damage(f"{said} ({error})")
            self._open()
            return do()

    @property
    def slots(self) -> int:
        """How many actions run at a time where nobody says how many."""
        return self._executor.capacity().slots if self._executor else os.cpu_count() or 1

    def machine(self) -> str:
        """What the machine is called that times are measured on."""
        return self._executor.machine() if self._executor else machine_name()

    def walk(self, graph: ActionGraph, project: Project) -> Walk:
        """A look at a graph as things are now."""
        self.memo.load(project.folder, project.artifacts, HOST)
        self.looked = Walk(
            graph,
            project.name,
            project.folder,
            self.store,
            self.index,
            self.memo,
            self.environments,
            self.implementations,
            self.machine,
            salt=self._salt,
        )
        return self.looked

    def build(
        self, graph: ActionGraph, project: Project, settings: Settings, listener: Listener
    ) -> Outcome:
        """Brings a graph up to date, judges its deployables and places them.

        Raises:
            StoreError: The store or the artifacts' folder cannot be written.
            DamagedIndex: See `mended`.
            KeyboardInterrupt: The user stopped it; workers have been killed.
        """
        refuse_obstacles(project.artifacts, graph.deployables)
        self.store.sweep(older_than=time.time() - LEFTOVERS_SECONDS)
        executor = self._executor or LocalExecutor(self.store, warn=_warner(listener))
        before = executor.processes_started
        placing = Placing(project.artifacts, project.recipe, self.store, self.memo)
        locks = self.root / LOCKS
        lease = Lease(self.index, locks)
        try:
            run, verdicts = self._settled(
                graph, project, settings, listener, executor, placing, Claims(locks), lease
            )
            self._pin(graph, project, run, placing, verdicts)  # Before the lease ends.
        finally:
            if self._executor is None:
                executor.close()
            lease.close()
        self.save()
        paths = {
            v.deployable.label: path
            for v in verdicts
            if (path := placing.path(v.deployable, v.status)) is not None
        }
        return Outcome(run, verdicts, paths, executor.processes_started - before)

    def give(
        self, graph: ActionGraph, project: Project, settings: Settings, listener: Listener
    ) -> tuple[Run, dict[OutputRef, bytes]]:
        """Brings what a graph's `wanted` names up to date and reads it; judges and places nothing.

        Returns:
            What happened, and the files' bytes, but of those that an action failed to give.

        Raises:
            StoreError: The store cannot be written.
            DamagedIndex: See `mended`.
            KeyboardInterrupt: The user stopped it; workers have been killed.
        """
        return self._given(graph, project, settings, listener, lambda run: self._read(graph, run))

    def judge(
        self, graph: ActionGraph, project: Project, settings: Settings, listener: Listener
    ) -> tuple[Run, list[Verdict]]:
        """Brings a graph up to date and judges its deployables; places nothing.

        Raises:
            StoreError: The store cannot be written.
            DamagedIndex: See `mended`.
            KeyboardInterrupt: The user stopped it; workers have been killed.
        """

        def judged(run: Run) -> list[Verdict]:
            return Judge(graph, run, self.store, self.environments).verdicts()

        return self._given(graph, project, settings, listener, judged)

    def _given(
        self,
        graph: ActionGraph,
        project: Project,
        settings: Settings,
        listener: Listener,
        read: Callable[[Run], Result],
    ) -> tuple[Run, Result]:
        """Runs a graph and reads what it gave, while all of that is sure to be kept."""
        executor = self._executor or LocalExecutor(self.store, warn=_warner(listener))
        locks = self.root / LOCKS
        lease = Lease(self.index, locks)
        damaged: set[str] = set()
        try:
            while True:
                run = self._run(graph, project, settings, listener, executor, Claims(locks), lease)
                try:
                    return run, read(run)
                except CorruptObject as error:
                    # It was taken out, so its maker is a miss now. Twice means a bad disk.
                    if error.digest in damaged:
                        raise StoreError(str(error), "the disk may be failing") from error
                    damaged.add(error.digest)
        finally:
            if self._executor is None:
                executor.close()
            lease.close()
            self.save()

    def _run(
        self,
        graph: ActionGraph,
        project: Project,
        settings: Settings,
        listener: Listener,
        executor: Executor,
        claims: Claims,
        lease: Lease,
    ) -> Run:
        return Coordinator(
            self.walk(graph, project),
            self.environments,
            executor,
            project.folder,
            settings,
            listener,
            claims,
            lease,
            self._threads,
        ).run()

    def _read(self, graph: ActionGraph, run: Run) -> dict[OutputRef, bytes]:
        found = {}
        for ref in graph.wanted:
            trace = run.trace(ref.action)
            if trace is not None:
                found[ref] = self.store.read(trace.outputs[ref.output].digest)
        return found

    def _settled(
        self,
        graph: ActionGraph,
        project: Project,
        settings: Settings,
        listener: Listener,
        executor: Executor,
        placing: Placing,
        claims: Claims,
        lease: Lease,
    ) -> tuple[Run, list[Verdict]]:
        """Runs, judges and places; starts over if a file that leaves the store is damaged."""
        warn = _warner(listener)
        executed: list[str] = []
        damaged: set[str] = set()
        while True:
            run = self._run(graph, project, settings, listener, executor, claims, lease)
            executed += run.executed
            try:
                verdicts = Judge(graph, run, self.store, self.environments).verdicts()
                placing.place(verdicts, graph.labels, lambda who: warn(f"waiting for {who}"))
            except CorruptObject as error:
                # It was taken out, so its maker is a miss now. Twice the same means a bad disk.
                if error.digest in damaged:
                    raise StoreError(str(error), "the disk may be failing") from error
                damaged.add(error.digest)
                warn(f"a stored file was damaged and is made again ({error})")
            else:
                run.executed = list(dict.fromkeys(executed))
                return run, verdicts

    def _pin(
        self,
        graph: ActionGraph,
        project: Project,
        run: Run,
        placing: Placing,
        verdicts: Iterable[Verdict],
    ) -> None:
        """Keeps what the artifacts' folder holds from being collected: files, contracts, figures."""
        prefix = f"{ARTIFACTS}:{project.artifacts.absolute()}:{project.recipe}:"
        held: dict[str, set[str]] = {}
        for verdict in verdicts:
            digests = set()
            if placing.path(verdict.deployable, verdict.status) is not None:
                digests = needed(verdict.deployable, run)
            held[prefix + verdict.deployable.label] = digests
        with suppress(StoreError):  # A store that cannot be written collects nothing either.
            self.index.pin(prefix, {prefix + label for label in graph.labels}, held)


def _warner(listener: Listener) -> Callable[[str], None]:
    """Tells the listener of what the user should know, and what stops nothing."""
    return lambda message: listener(warning(message))


def needed(deployable: Deployable, run: Run) -> set[str]:
    """Digests of all that the actions gave whose files a verdict needs."""
    return {
        stored.digest
        for name in roots([deployable])
        if (trace := run.trace(name)) is not None
        for stored in trace.outputs.values()
    }
