"""A build that searches first, where a profile is a search that has not chosen yet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from buildsys.engine.events import Event, Version
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.engine.session import Session
from buildsys.search import routing


def build(
    session: Session,
    selectors: Iterable[str] = (),
    *,
    settings: Settings | None = None,
    out: Path | None = None,
    strict: bool = False,
    listener: Listener = ignore,
    again: bool = False,
    locked: bool = False,
) -> Build:
    """Searches what is not chosen yet, writes the lock, and builds as `Session.build` does.

    Args:
        session: The recipe and the store; its recipe has the choices afterwards.
        selectors: Targets, labels or globs; all deployables where there is none.
        settings: How to run.
        out: Where artifacts go; default: `artifacts/` beside the recipe.
        strict: Whether a deployable is an error that is unverified, or whose inputs are not fully known.
        listener: Receives the build's events.
        again: Whether to search again where a choice exists.
        locked: Whether a search that would have to run is an error.

    Raises:
        RecipeError: A deployable has no route, or `locked`, and the lock lacks a choice.
        NoMatch: A selector matches nothing.
        SearchError: A search cannot be made here.
        StoreError: The store, the artifacts' folder or the lock cannot be written.
        ToolchainError: An environment that a candidate needs could not be made.
    """
    selectors = tuple(selectors)
    listener(Version())

    def once(event: Event) -> None:
        if not isinstance(event, Version):
            listener(event)

    questions = session.unsettled(selectors, again=again)
    if questions:
        from buildsys.search.settling import settle  # Most builds search nothing.

        settle(session, questions, settings or Settings(), once, locked=locked)

    def run(told: Listener) -> Build:
        return session.build(selectors, settings=settings, out=out, strict=strict, listener=told)

    if locked:
        return run(once)
    before = session.outline.detours
    if again:
        routing.forget(session, selectors)
    return routing.build(session, run, once, before)
