"""A build that goes on by the next route, where a deployable names several and one gives nothing.

The first routes are built as if there were no others. A deployable whose route failed, or was rejected, is
planned again by its next one, and all are built again: what held is up to date by then. What is found is
written to the lock, so that the next build plans the route that was taken, and runs nothing.

Most builds take the first routes: what reads the recipe and writes the lock is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from buildsys.engine.events import Diagnostic
from buildsys.engine.listener import Listener
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.results import Build
from buildsys.engine.session import Session
from buildsys.recipe.outline import Detour

if TYPE_CHECKING:
    from buildsys.planner.entries import Entry

MOST = 300
"""Letters that are kept of why a route was left."""
SHIPS = (Status.VERIFIED, Status.CHECKED, Status.UNVERIFIED)


def build(
    session: Session,
    run: Callable[[Listener], Build],
    listener: Listener,
    before: Mapping[str, Detour],
) -> Build:
    """Builds, by other routes where the recipe names some and the first ones give nothing.

    Args:
        session: The recipe and the store; its recipe has the detours afterwards.
        run: Builds what is selected, and tells a listener.
        listener: Receives the build's events.
        before: What the lock says.

    Raises:
        StoreError: The lock cannot be written.
    """
    while True:
        result = run(listener)
        left = list(_left(session, result))
        if not left:
            break
        more = dict(_next(session, *each) for each in left)
        session.recipe = replace(session.recipe, detours={**session.recipe.detours, **more})
        for entry, verdict in left:
            _tell(session, entry, verdict, listener)
    if session.outline.detours != before:
        _keep(session, before, result)
    return result


def forget(session: Session, selectors: Iterable[str]) -> None:
    """Takes the first routes of the selected deployables again."""
    from buildsys.planner.entries import entries
    from buildsys.planner.selectors import select

    everything = entries(session.recipe)
    chosen = set(select(selectors, [entry.label for entry in everything]))
    kept = {n: each for n, each in session.recipe.detours.items() if n not in chosen}
    session.recipe = replace(session.recipe, detours=kept)


def _left(session: Session, result: Build) -> Iterator[tuple[Entry, Verdict]]:
    """The deployables that have another route, and whose own gave nothing."""
    failed = [verdict for verdict in result.verdicts if _gave_nothing(verdict, result)]
    if not failed:
        return
    from buildsys.planner.entries import entries

    known = {entry.label: entry for entry in entries(session.recipe)}
    for verdict in failed:
        entry = known[verdict.deployable.label]
        if entry.route in entry.item.routes[:-1]:
            yield entry, verdict


def _gave_nothing(verdict: Verdict, result: Build) -> bool:
    """Whether a route is to blame for a verdict: not the machine, and not a step of all routes."""
    if verdict.status is Status.REJECTED:
        return True
    if verdict.status is not Status.FAILED or verdict.failure is None:
        return False
    way = set(result.graph.below(verdict.deployable.artifact))
    own = [name for name in verdict.deployable.actions if name in result.run.failures]
    return any(name in way for name in own) and not verdict.failure.environment


def _next(session: Session, entry: Entry, verdict: Verdict) -> tuple[str, Detour]:
    """The label, and the detour by its next route."""
    routes = entry.item.routes
    number = routes.index(entry.route or "")
    known = session.recipe.detours.get(entry.label)
    failed = {**(known.failed if known else {}), routes[number]: _why(verdict)}
    return entry.label, Detour(routes[number + 1], failed)


def _why(verdict: Verdict) -> str:
    line = " ".join((verdict.reason or str(verdict.status)).split())
    return line if len(line) <= MOST else line[: MOST - 1] + "…"


def _tell(session: Session, entry: Entry, verdict: Verdict, listener: Listener) -> None:
    taken = session.recipe.detours[entry.label].taken
    message = f"`route: {entry.route}` gave nothing, `route: {taken}` is taken: {_why(verdict)}"
    listener(Diagnostic(severity="warning", message=message, deployable=entry.label))


def _keep(session: Session, before: Mapping[str, Detour], result: Build) -> None:
    """Writes the detours that ship to the lock; where none does, the next build tries all again."""
    ships = {v.deployable.label for v in result.verdicts if v.status in SHIPS}
    found = session.recipe.detours
    kept = {n: each for n, each in found.items() if n in ships or before.get(n) == each}
    told = session.recipe
    session.recipe = replace(told, detours=kept)
    if kept != before:
        from buildsys.search import lock

        lock.write(session.recipe, {})
    session.recipe = told
