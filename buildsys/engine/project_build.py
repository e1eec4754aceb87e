"""The build of a session's recipe: its graph brought up to date, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from buildsys.engine import building
from buildsys.engine.engine import Engine, Project
from buildsys.engine.events import Collected, Gate, Version, warning
from buildsys.engine.listener import Listener
from buildsys.engine.outcome.verdicts import exit_status
from buildsys.engine.results import Build
from buildsys.engine.run import Run, Settings
from buildsys.engine.unchanged import Unchanged
from buildsys.planner.graph import ActionGraph
from buildsys.store import DamagedIndex, StoreError
from buildsys.store.collection import Collector
from buildsys.store.size_estimate import Size

if TYPE_CHECKING:
    from buildsys.recipe import Outline, Recipe


def build(
    engine: Engine,
    project: Project,
    graph: Callable[[], ActionGraph],
    source: tuple[Outline, Callable[[], Recipe]],
    settings: Settings,
    strict: bool,
    max_size: int | None,
    listener: Listener,
    unchanged: Unchanged | None = None,
) -> Build:
    """Brings deployables up to date, judges them, and places them.

    Args:
        engine: The store.
        project: What is built.
        graph: Gives the actions.
        source: The recipe in outline, and what gives it.
        settings: How to run.
        strict: As for `Session.build`.
        max_size: Bytes of stored files above which the least recently used are removed.
        listener: Receives the build's events.
        unchanged: What `graph` leaves out, since nothing that it depends on has changed.

    Raises:
        As `Session.build`.
    """
    listener(Version())

    def warn(message: str) -> None:
        listener(warning(message))

    actions = graph()
    outcome = engine.mended(
        lambda: building.build(engine, actions, project, settings, listener), warn
    )
    result = Build(
        *source,
        actions,
        outcome.run,
        outcome.verdicts,
        project.artifacts,
        exit_status(outcome.run, outcome.verdicts, strict),
        outcome.processes,
        outcome.paths,
        unchanged,
    )
    _announce(result, listener)
    if outcome.run.executed:
        _collect(engine, max_size, _made(outcome.run), listener)
    return result


def _made(run: Run) -> Size:
    """Bytes of what ran put into the store, at most: some of it may have been there."""
    traces = [trace for name in run.executed if (trace := run.trace(name)) is not None]
    logs = 0
    for path in run.logs.values():
        with suppress(OSError):
            logs += path.stat().st_size
    return Size(sum(stored.size for trace in traces for stored in trace.outputs.values()), logs)


def _collect(engine: Engine, max_size: int | None, more: Size, listener: Listener) -> None:
    """Keeps the store within the user's limit, now that it has grown."""
    # The build is done: what cannot be removed stays.
    with suppress(StoreError, DamagedIndex):
        collector = Collector(engine.root, engine.store, engine.index)
        done = collector.collect_if_over(max_size, more)
        if done is not None:
            listener(Collected(freed_bytes=done.freed_bytes, files=done.files))


def _announce(build: Build, listener: Listener) -> None:
    for verdict in build.verdicts:
        listener(
            Gate(
                deployable=verdict.deployable.label,
                status=str(verdict.status),
                reason=verdict.reason,
                inputs_not_known=list(verdict.unseen),
                gates=[gate.to_json() for gate in verdict.gates],
            )
        )
