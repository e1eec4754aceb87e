"""Brings a graph up to date against one store: runs, judges, places. Knows nothing of recipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from buildsys.engine.engine import Engine, Project, needed
from buildsys.engine.events import warning
from buildsys.engine.executors import LocalExecutor
from buildsys.engine.executors.executor import Executor
from buildsys.engine.listener import Listener
from buildsys.engine.outcome.obstacles import refuse_obstacles
from buildsys.engine.outcome.placing import Placing
from buildsys.engine.outcome.verdicts import Judge, Verdict
from buildsys.engine.run import Run, Settings
from buildsys.engine.scheduling.claims import Claims
from buildsys.engine.scheduling.coordinator import Coordinator
from buildsys.engine.scheduling.lease import Lease
from buildsys.engine.scheduling.messages import ThreadPool
from buildsys.planner.graph import ActionGraph, OutputRef
from buildsys.store import CorruptObject, StoreError
from buildsys.store.inventory import ARTIFACTS, LOCKS

LEFTOVERS_SECONDS = 7 * 86_400
"""How long the folders of failed steps, and what killed builds left, are kept."""

Result = TypeVar("Result")


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


def build(
    engine: Engine, graph: ActionGraph, project: Project, settings: Settings, listener: Listener
) -> Outcome:
    """Brings a graph up to date, judges its deployables and places them.

    Raises:
        StoreError: The store or the artifacts' folder cannot be written.
        DamagedIndex: See `mended`.
        KeyboardInterrupt: The user stopped it; workers have been killed.
    """
    refuse_obstacles(project.artifacts, graph.deployables)
    engine.store.sweep(older_than=time.time() - LEFTOVERS_SECONDS)
    executor = engine.executor or LocalExecutor(engine.store, warn=_warner(listener))
    before = executor.processes_started
    placing = Placing(project.artifacts, project.recipe, engine.store, engine.memo)
    locks = engine.root / LOCKS
    lease = Lease(engine.index, locks)
    try:
        run, verdicts = _settled(
            engine, graph, project, settings, listener, executor, placing, Claims(locks), lease
        )
        _pin(engine, graph, project, run, placing, verdicts)  # Before the lease ends.
    finally:
        if engine.executor is None:
            executor.close()
        lease.close()
    engine.save()
    paths = {
        v.deployable.label: path
        for v in verdicts
        if (path := placing.path(v.deployable, v.status)) is not None
    }
    return Outcome(run, verdicts, paths, executor.processes_started - before)


def give(
    engine: Engine, graph: ActionGraph, project: Project, settings: Settings, listener: Listener
) -> tuple[Run, dict[OutputRef, bytes]]:
    """Brings what a graph's `wanted` names up to date and reads it; judges and places nothing.

    Returns:
        What happened, and the files' bytes, but of those that an action failed to give.

    Raises:
        StoreError: The store cannot be written.
        DamagedIndex: See `mended`.
        KeyboardInterrupt: The user stopped it; workers have been killed.
    """
    return _given(engine, graph, project, settings, listener, lambda run: _read(engine, graph, run))


def judge(
    engine: Engine, graph: ActionGraph, project: Project, settings: Settings, listener: Listener
) -> tuple[Run, list[Verdict]]:
    """Brings a graph up to date and judges its deployables; places nothing.

    Raises:
        StoreError: The store cannot be written.
        DamagedIndex: See `mended`.
        KeyboardInterrupt: The user stopped it; workers have been killed.
    """

    def judged(run: Run) -> list[Verdict]:
        return Judge(graph, run, engine.store, engine.environments).verdicts()

    return _given(engine, graph, project, settings, listener, judged)


def _given(
    engine: Engine,
    graph: ActionGraph,
    project: Project,
    settings: Settings,
    listener: Listener,
    read: Callable[[Run], Result],
) -> tuple[Run, Result]:
    """Runs a graph and reads what it gave, while all of that is sure to be kept."""
    executor = engine.executor or LocalExecutor(engine.store, warn=_warner(listener))
    locks = engine.root / LOCKS
    lease = Lease(engine.index, locks)
    damaged: set[str] = set()
    try:
        while True:
            run = _run(engine, graph, project, settings, listener, executor, Claims(locks), lease)
            try:
                return run, read(run)
            except CorruptObject as error:
                # It was taken out, so its maker is a miss now. Twice means a bad disk.
                if error.digest in damaged:
                    raise StoreError(str(error), "the disk may be failing") from error
                damaged.add(error.digest)
    finally:
        if engine.executor is None:
            executor.close()
        lease.close()
        engine.save()


def _run(
    engine: Engine,
    graph: ActionGraph,
    project: Project,
    settings: Settings,
    listener: Listener,
    executor: Executor,
    claims: Claims,
    lease: Lease,
) -> Run:
    return Coordinator(
        engine.walk(graph, project),
        engine.environments,
        executor,
        project.folder,
        settings,
        listener,
        claims,
        lease,
        engine.threads or ThreadPool,
    ).run()


def _read(engine: Engine, graph: ActionGraph, run: Run) -> dict[OutputRef, bytes]:
    found = {}
    for ref in graph.wanted:
        trace = run.trace(ref.action)
        if trace is not None:
            found[ref] = engine.store.read(trace.outputs[ref.output].digest)
    return found


def _settled(
    engine: Engine,
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
        run = _run(engine, graph, project, settings, listener, executor, claims, lease)
        executed += run.executed
        try:
            verdicts = Judge(graph, run, engine.store, engine.environments).verdicts()
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
    engine: Engine,
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
        engine.index.pin(prefix, {prefix + label for label in graph.labels}, held)


def _warner(listener: Listener) -> Callable[[str], None]:
    """Tells the listener of what the user should know, and what stops nothing."""
    return lambda message: listener(warning(message))
