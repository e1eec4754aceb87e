"""Runs what finds the operation at which a deployable goes wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from buildsys.diagnosis.defects import explain
from buildsys.engine import building
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.run import Run, Settings
from buildsys.engine.session import Session
from buildsys.figures import json_form
from buildsys.figures.location import JudgedLocation
from buildsys.planner.graph import ActionGraph
from buildsys.planner.planning import make_location
from buildsys.toolchains.locks.lockfile import parse


@dataclass(frozen=True)
class Located:
    """An answer.

    Attributes:
        graph: The actions that it came from.
        run: What happened to them.
        location: Where it goes wrong, with what is known of the fault; or `None` where a step failed.
    """

    graph: ActionGraph
    run: Run
    location: JudgedLocation | None


def locate(
    session: Session,
    label: str,
    *,
    settings: Settings | None = None,
    listener: Listener = ignore,
) -> Located:
    """Finds the first operation of a deployable that differs from the original.

    It takes the deployable's bytes as a build makes them, out of the cache where they are there.

    Args:
        session: The recipe and the store.
        label: The deployable's; it may be one that is rejected, or has never been built.
        settings: How to run.
        listener: Receives the build's events.

    Raises:
        RecipeError: The deployable has no route.
        NoMatch: No deployable has this label.
        NoProbe: Nothing shows the values within its format.
        ValueError: The label is a selector for several.
    """
    graph, found = make_location(session.recipe, session.catalog, label)
    engine = session.engine

    def do() -> tuple[Run, dict[Any, bytes]]:
        return building.give(engine, graph, session.project(), settings or Settings(), listener)

    run, files = engine.mended(do, lambda _: None)
    read = files.get(found)
    if read is None:
        return Located(graph, run, None)
    location = json_form.read(JudgedLocation, json.loads(read))
    known = explain(location, _versions(session, graph))
    if known is not None:
        location = replace(
            location, explanation=known.sentence, defect=known.defect, way_out=known.way_out
        )
    return Located(graph, run, _judged(session, label, location, settings or Settings(), listener))


def _judged(
    session: Session,
    label: str,
    location: JudgedLocation,
    settings: Settings,
    listener: Listener,
) -> JudgedLocation:
    """The location with what the bounds say: of an artifact that keeps them all nothing is at fault.

    What errs most in an artifact that passes is its `largest_step`.
    """
    graph = session.graph([label])

    def do() -> tuple[Run, list[Verdict]]:
        return building.judge(session.engine, graph, session.project(), settings, listener)

    _, (verdict,) = session.engine.mended(do, lambda _: None)
    if verdict.status not in (Status.VERIFIED, Status.CHECKED):
        rejected = verdict.status is Status.REJECTED
        return replace(
            location,
            passes=False if rejected else None,
            rejected=verdict.reason if rejected else None,
        )
    blamed = location.operation
    rows = [row for row in location.table if blamed and row.number == blamed.number]
    return replace(
        location,
        passes=True,
        found=False,
        kind="healthy",
        in_words=None,
        operation=None,
        overflow=None,
        cure=None,
        largest_step=rows[0] if rows else location.largest_step,
    )


def _versions(session: Session, graph: ActionGraph) -> dict[str, str]:
    """The pinned packages of the toolchains that have to do with it."""
    found: dict[str, str] = {}
    names = {action.environment for action in graph.actions.values() if action.environment}
    for name in sorted(names & session.catalog.toolchains.keys()):
        replaced = session.recipe.spec.toolchains.get(name)
        lock = session.catalog.toolchains[name].lock
        path = session.recipe.folder / replaced.lock if replaced else lock
        for pin in parse(path.read_text()):
            version = pin.requirement.partition(";")[0].partition("==")[2].strip()
            found.setdefault(pin.name, version)
    return found
