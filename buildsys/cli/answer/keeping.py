"""Keeps the answer of a command that found, or left, everything up to date."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildsys import settings, validity
from buildsys.cli.answer.parts import Parts
from buildsys.cli.answer.question import Question, path_of
from buildsys.cli.answer.recalling import machine, packages_of
from buildsys.cli.answer.secret import digests, own_secret
from buildsys.engine.engine import needed
from buildsys.engine.run import Run
from buildsys.engine.session import Session
from buildsys.engine.staleness.needs import SCRIPTS
from buildsys.engine.unchanged import Unchanged
from buildsys.planner.graph import ActionGraph
from buildsys.store.inventory import RECORD
from buildsys.store.memo import FINE_NS
from buildsys.toolchains.inside import program
from buildsys.validity import Stat, Unknown, stat_of, young


def partial() -> Unchanged | None:
    """The components that this build can skip, since none of their files has changed."""
    record = Question.record
    if record is None or record["report"] is None:
        return None
    from buildsys.report.record import entries_in

    path = record["report"]
    with suppress(OSError, ValueError):
        entries = entries_in(Path(path).read_text())
        rows = list(enumerate(record["parts"]))
        changed = {label for n, (_, labels, _) in rows if n in Question.changed for label in labels}
        actions = sum(count for n, (_, _, count) in rows if n not in Question.changed)
        if stat_of(path) == record["files"][path] and changed <= entries.keys():
            return Unchanged(frozenset(changed), actions, entries)
    return None


def keep(
    session: Session,
    graph: ActionGraph,
    run: Run,
    folder: Path | None,
    text: str,
    unchanged: Unchanged | None = None,
) -> None:
    """Remembers the answer of a command that found, or left, everything up to date.

    Args:
        session: What it worked with.
        graph: What it worked on.
        run: What each action gave.
        folder: Where artifacts were placed; `None` for a plan, which looks at none.
        text: What it prints when there is nothing to do.
        unchanged: What it did not look at.
    """
    asked = Question.asked
    if asked is None:
        return
    with suppress(Unknown, OSError, ValueError):
        record = _record(session, graph, run, folder, unchanged is not None)
        validity.write(path_of(asked), record | {"asked": asked, "text": text})


def _record(
    session: Session, graph: ActionGraph, run: Run, folder: Path | None, is_partial: bool
) -> dict[str, Any]:
    engine, outline = session.engine, session.outline
    if not engine.memo.settled or session.asks_machine(graph):
        raise Unknown
    looked: dict[str, Stat | None] = {
        path: None if found is None else list(found) for path, found in engine.memo.looked.items()
    }
    parts = Parts(outline.folder)
    stored: set[str] = set()
    placed: list[str] = []
    for component in [graph] if folder is None else graph.components():
        evidence = set(engine.store.evidence(_verdicts(component, run)))
        artifacts = [] if folder is None else _placed(folder, component)
        parts.add(component, run, evidence, artifacts)
        stored |= evidence
        placed += artifacts
    # What the command itself writes may be younger than its start; exact names, since the store or
    # the folder of artifacts may well hold the project.
    own = [str(session.provisioner.root), *placed]
    report = None
    if folder is not None:
        # A plan places nothing, and need not import what does.
        from buildsys.engine.outcome.placing import REJECTED
        from buildsys.report.record import NAME

        report = str(folder / NAME)
        records = [str(folder / RECORD), report]
        own += records
        # What must not lie there: an artifact that was rejected before it was right.
        strays = _placed(folder / REJECTED, graph)
        looked.update({path: stat_of(path) for path in (*records, *strays)})
    common = set(_other_inputs(session, graph))
    for path in (*common, *stored):
        looked.setdefault(path, stat_of(path))
    files, absent = validity.settled(looked, Question.started, {*stored, *own}, engine.memo.steady)
    index = os.path.join(engine.root, "index.sqlite")
    listings = engine.looked.listings if engine.looked is not None else {}
    record: dict[str, Any] = {
        "written": time.time(),
        "machine": machine() if any(a.timed for a in graph.actions.values()) else None,
        "environ": digests(outline.environment, own_secret()) if outline.environment else {},
        "index": [index, os.stat(index).st_ino],
        "project": str(outline.folder),
        "report": report,
        "absent": absent,
        "listings": [_listing(outline.folder, *row) for row in listings.items()],
    }
    before = Question.record if is_partial else None
    if before is None:
        return record | parts.record(files, common)
    kept = {name: row for name, *row in before["listings"]}
    kept |= {name: row for name, *row in record["listings"]}
    return record | {
        # The usual path is still taken a day after the last time.
        "written": before["written"],
        "machine": record["machine"] or before["machine"],
        "absent": list({*before["absent"], *absent}),
        "listings": [[name, *row] for name, row in kept.items()],
        **parts.merged(files, common, before, Question.changed, {*stored, *own}),
    }


def _placed(folder: Path, graph: ActionGraph) -> list[str]:
    """Where artifacts lie below a folder."""
    return [str(folder / each.target / each.filename) for each in graph.deployables]


def _other_inputs(session: Session, graph: ActionGraph) -> Iterable[str]:
    """What was read past the memo: the recipe, this program, environments, what was placed."""
    outline = session.outline
    yield from session.planned_from
    yield str(settings.config_file())
    # A recipe that is nearer to where we are called would be taken instead of this one.
    folder = os.getcwd()
    while folder != str(outline.folder) and folder != os.path.dirname(folder):
        yield os.path.join(folder, outline.path.name)
        folder = os.path.dirname(folder)
    for backend in session.backend_folders:
        for root, folders, names in os.walk(backend):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield root
            yield from (os.path.join(root, name) for name in names if name.endswith(SCRIPTS))
    # What is installed beside us: packages with backends, numpy, all of environment `host`.
    yield from (path for path in sys.path if path and os.path.isdir(path))
    for environment in {a.environment for a in graph.actions.values() if a.environment}:
        yield from map(str, session.environments.evidence(environment))


def _listing(project: os.PathLike[str], name: str, digest: str) -> list[Any]:
    """A folder's names, with the time by which a change of them would show."""
    folder = os.path.dirname(os.path.join(project, name))
    seen = stat_of(folder)
    if seen is not None and young(seen, time.time_ns()):
        time.sleep(FINE_NS / 1e9)  # The folder of artifacts may have been made in it just now.
        seen = stat_of(folder)
    packages = packages_of(entry.path for entry in os.scandir(folder) if entry.is_dir())
    if program.discovered_digest(str(project), name) != digest:
        raise Unknown
    if seen is None or young(seen, time.time_ns()):
        return [name, digest, None, packages]  # Looked into every time.
    return [name, digest, seen, packages]


def _verdicts(graph: ActionGraph, run: Run) -> set[str]:
    """The digests that verdicts are made of."""
    return {digest for each in graph.deployables for digest in needed(each, run)}
