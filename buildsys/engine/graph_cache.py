"""Graphs that earlier commands planned, reused while nothing that planning looks at has changed.

A graph depends on the recipe, its lock, this program, the backends that are installed, and on which of the
recipe's files are there. It does not depend on what is in weights, data and code: after an edit of those a
command needs neither the recipe's classes nor a search for routes. A record in the store has the graph,
what commands still need of the recipe, and the stats of all that it was planned from.

Graphs of these recipes are not kept: with `${VAR}`, since values of variables may be secret; with a search
that has not chosen; and with steps that look at the machine, as for a GPU.
"""

from __future__ import annotations

import glob
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildsys import validity
from buildsys.backends import BUILT_IN
from buildsys.backends.toolchain import Toolchain
from buildsys.engine.unchanged import Unchanged
from buildsys.planner import graph_json
from buildsys.planner.graph import ActionGraph
from buildsys.recipe.outline import Choice, Detour, Outline

if TYPE_CHECKING:
    from buildsys.planner.catalog import Catalog
    from buildsys.recipe import Recipe

VERSION = 2
FOLDER = "graphs"
STANDARD = os.path.dirname(os.__file__) + os.sep
"""Where Python's own modules lie."""
DISTRIBUTIONS = (".dist-info", ".egg-info", ".egg-link", ".pth")
"""How names end that say what is installed beside them."""


@dataclass(frozen=True)
class PlannedGraph:
    """A graph, and what commands need beside it.

    Attributes:
        outline: What they need of the recipe.
        selectors: What was selected.
        graph: The actions for that.
        toolchains: All toolchains of backends, by name.
        backends: The folders of all backends.
        sources: The paths that it was planned from.
        unchanged: What is not in the graph, since nothing that it depends on has changed.
    """

    outline: Outline
    selectors: tuple[str, ...]
    graph: ActionGraph
    toolchains: Mapping[str, Toolchain]
    backends: tuple[Path, ...]
    sources: tuple[str, ...]
    unchanged: Unchanged | None = None


def recall(
    root: Path, recipe: Path, selectors: Sequence[str], unchanged: Unchanged | None = None
) -> PlannedGraph | None:
    """The graph that was planned for a recipe and selectors, if it would be planned so again.

    Args:
        root: The store's folder.
        recipe: The recipe's file, absolute.
        selectors: What is selected.
        unchanged: What the command leaves as it is: only the components of its `changed` are given.
    """
    asked = _asked(recipe, selectors)
    try:
        record, parts = validity.read_parts(_path(root, asked))
        if record["asked"] != asked or not _holds(record):
            return None
        if unchanged is not None:
            rows = zip(record["parts"], parts, strict=True)
            parts = [part for labels, part in rows if not unchanged.changed.isdisjoint(labels)]
        return PlannedGraph(
            _outline(**record["outline"]),
            tuple(selectors),
            graph_json.from_json(record["graph"], map(json.loads, parts)),
            {name: _toolchain(*row) for name, row in record["toolchains"].items()},
            tuple(Path(folder) for folder in record["backends"]),
            (*record["files"], *record["absent"]),
            unchanged,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def remember(
    root: Path,
    recipe: Recipe,
    catalog: Catalog,
    selectors: Sequence[str],
    graph: ActionGraph,
    started: int,
) -> None:
    """Keeps a graph for later commands, where its sources can be known by their stats.

    Args:
        root: The store's folder.
        recipe: What was planned.
        catalog: The backends.
        selectors: What was selected.
        graph: The graph.
        started: When the command began (POSIX nanoseconds), before it read anything.
    """
    from buildsys.recipe.checks.references import named_files

    outline = recipe.outline
    if outline.environment:
        return
    looked = {path: validity.stat_of(path) for path in sources(outline, backends_of(catalog))}
    asked = _asked(recipe.path, selectors)
    named, globs = named_files(recipe.root, recipe.folder)
    # What cannot be written or is too young is planned once more.
    with suppress(validity.Unknown, OSError, ValueError):
        files, absent = validity.settled(looked, started)
        common, parts = graph_json.to_json(graph)
        record = {
            "asked": asked,
            "installed": _installed(),
            "files": files,
            "absent": absent,
            "named": {str(path): is_folder for path, is_folder in named.items()},
            "globs": globs,
            "outline": _outline_record(outline),
            "toolchains": {name: _row(each) for name, each in catalog.toolchains.items()},
            "backends": [str(folder) for folder in backends_of(catalog)],
            "graph": common,
            "parts": [[row[0][0] for row in part["deployables"]] for part in parts],
        }
        validity.write(_path(root, asked), record, parts)


def recall_routes(root: Path, catalog: Catalog) -> None:
    """Gives a catalog the routes that earlier commands found, if no backend has changed."""
    from buildsys.planner.conversion.routes import take_routes

    asked = _asked_routes()
    with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        record = validity.read(_path(root, asked))
        same = record["asked"] == asked and record["installed"] == _installed()
        if same and validity.unchanged(record["files"], ()):
            take_routes(catalog, record["routes"])


def remember_routes(root: Path, catalog: Catalog, started: int) -> None:
    """Keeps the routes that were found, for plans of other recipes and of edited ones."""
    from buildsys.planner.conversion.routes import found_routes

    asked = _asked_routes()
    looked = {path: validity.stat_of(path) for path in _program(backends_of(catalog))}
    with suppress(validity.Unknown, OSError, ValueError):
        files, _ = validity.settled(looked, started)
        record = {
            "asked": asked,
            "installed": _installed(),
            "files": files,
            "routes": found_routes(catalog),
        }
        validity.write(_path(root, asked), record)


def sources(outline: Outline, backends: Sequence[Path]) -> Iterator[str]:
    """The paths that planning reads: the recipe, its lock, this program, and where backends are installed."""
    yield from map(str, outline.files)
    yield str(outline.lock)
    yield from _program(backends)


def _program(backends: Sequence[Path]) -> Iterator[str]:
    """This program as far as it was imported, with others' backends, and where backends lie."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and (module.__name__.partition(".")[0] == "buildsys" or not _is_installed(file)):
            yield file
    yield str(BUILT_IN)
    yield from {str(folder.parent) for folder in backends}


def _is_installed(file: str) -> bool:
    """Whether a module is of Python or of a package that is installed: `_installed` tells of those."""
    return f"{os.sep}site-packages{os.sep}" in file or file.startswith(STANDARD)


def _installed() -> str:
    """What is installed on the search path, where backends may be registered: a digest.

    Not the folders' own times: the project's folder may be on the path, and artifacts are made in it.
    """
    rows = []
    for folder in sys.path:
        with suppress(OSError):
            for entry in os.scandir(folder or os.curdir):
                if entry.name.endswith(DISTRIBUTIONS):
                    rows.append([entry.path, entry.stat().st_mtime_ns])
    return validity.checksum_of(json.dumps(sorted(rows)).encode()).decode()


def backends_of(catalog: Catalog) -> tuple[Path, ...]:
    """The folders of all backends."""
    return tuple(backend.folder for backend in catalog.backends)


def _asked(recipe: Path, selectors: Sequence[str]) -> list[Any]:
    return [*_asked_routes(), str(recipe), list(selectors)]


def _asked_routes() -> list[Any]:
    # A store may be shared by machines of several kinds.
    return [VERSION, sys.platform, os.uname().machine, sys.executable, sys.path]


def _path(root: Path, asked: list[Any]) -> str:
    """Where the record lies. Two questions may share a file; then the later one has it."""
    name = validity.checksum_of(json.dumps(asked).encode()).decode()
    return os.path.join(root, FOLDER, name)


def _holds(record: Mapping[str, Any]) -> bool:
    if record["installed"] != _installed():
        return False
    if not validity.unchanged(record["files"], record["absent"]):
        return False
    for path, is_folder in record["named"].items():
        mode = os.stat(path).st_mode
        if not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)):
            return False
    folder = record["outline"]["folder"]
    return all(
        any(glob.iglob(pattern, root_dir=folder, recursive=True, include_hidden=True))
        for pattern in record["globs"]
    )


def _outline_record(outline: Outline) -> dict[str, Any]:
    return {
        "path": str(outline.path),
        "folder": str(outline.folder),
        "project": outline.project,
        "files": [str(file) for file in outline.files],
        "locks": {name: str(lock) for name, lock in outline.locks.items()},
        "choices": {n: [each.profile, dict(each.found)] for n, each in outline.choices.items()},
        "detours": {n: [each.taken, dict(each.failed)] for n, each in outline.detours.items()},
    }


def _outline(
    path: str,
    folder: str,
    project: str,
    files: list[str],
    locks: dict[str, str],
    choices: dict[str, list[Any]],
    detours: dict[str, list[Any]],
) -> Outline:
    return Outline(
        Path(path),
        Path(folder),
        project,
        tuple(Path(file) for file in files),
        (),
        {name: Path(lock) for name, lock in locks.items()},
        {name: Choice(*row) for name, row in choices.items()},
        {name: Detour(*row) for name, row in detours.items()},
    )


def _row(each: Toolchain) -> list[Any]:
    node = None if each.node is None else str(each.node)
    return [each.name, str(each.lock), str(each.requirements), each.python, each.about, node]


def _toolchain(
    name: str, lock: str, requirements: str, python: list[str], about: str, node: str | None
) -> Toolchain:
    return Toolchain(
        name,
        Path(lock),
        Path(requirements),
        tuple(python),
        about,
        None if node is None else Path(node),
    )
