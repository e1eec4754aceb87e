"""The digest of a worker's code: every module that its step imports, found by reading the imports.

Nothing is imported to find out. What a module says that it imports is remembered by the module's digest, so
that an unchanged module is parsed once. A name that stands for no module of ours, here or in a third party's
backend, belongs to the toolchain, whose fingerprint is in the key already.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildsys.backends import BUILT_IN
from buildsys.engine.staleness import keys
from buildsys.engine.staleness.needs import Needs
from buildsys.planner.graph import Worker
from buildsys.store import Index, Memo
from buildsys.toolchains.inside.program import HOST_PACKAGE, PACKAGE

HOST = BUILT_IN.parent


@dataclass(frozen=True)
class _Node:
    """A module: its file, the scripts that it names, and what it imports."""

    file: Path
    scripts: dict[str, Path]
    wanted: tuple[str, ...]


class Implementations:
    """Digests of workers' code.

    Args:
        memo: Digests of files.
        index: Remembers what each source file needs.
    """

    def __init__(self, memo: Memo, index: Index) -> None:
        self._memo = memo
        self._index = index
        self._digests: dict[tuple[object, ...], str] = {}
        self._known: dict[str, str] | None = None
        self._fresh: dict[str, str] = {}
        self._listed: dict[str, frozenset[str]] = {}
        self._read: dict[Path, Needs] = {}
        self._of_file: dict[Path, str] = {}
        self._nodes: dict[tuple[Path | None, str], _Node | None] = {}

    def of(self, worker: Worker) -> str:
        """The digest of all that a worker's step may import, start or write out, by name and content."""
        place = (worker.backend, worker.folder, worker.modules, worker.files)
        if place not in self._digests:
            rows = {name: self._digest(file) for name, file in self.files(worker).items()}
            self._digests[place] = keys.digest(sorted(rows.items()))
        return self._digests[place]

    def files(self, worker: Worker) -> dict[str, Path]:
        """The same files, by names that do not depend on where the package and the backend lie."""
        if worker.folder is not None:
            self._memo.load(
                worker.folder
            )  # A statement for all of it, where it is a third party's.
        found: dict[str, Path] = {}
        for place in worker.files:
            for given in self._below(place):
                found[self._label(worker, given)] = given
        waiting = list(worker.modules)
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            node = self._node(worker, name)
            if node is None:
                continue
            found[name] = node.file
            found.update(node.scripts)
            for each in node.wanted:
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return found

    def _node(self, worker: Worker, name: str) -> _Node | None:
        """A module of ours and what it leads to; the same for all workers but those of its own backend."""
        own = name.split(".", 2)[1:2] == [worker.backend]
        key = (worker.folder if own else None, name)
        if key not in self._nodes:
            file = self._module(worker, name)
            node = None
            if file is not None:
                needs = self._look(file)
                package = name if file.name == "__init__.py" else name.rpartition(".")[0]
                scripts = {self._label(worker, each): each for each in self._scripts(file, needs)}
                node = _Node(file, scripts, tuple(dict.fromkeys(_wanted(package, name, needs))))
            self._nodes[key] = node
        return self._nodes[key]

    def _digest(self, file: Path) -> str:
        if file not in self._of_file:
            self._of_file[file] = self._memo.digest(file) or ""
        return self._of_file[file]

    def save(self) -> None:
        """Writes down what source files need that were read for the first time."""
        if self._fresh:
            self._index.needs_write(self._fresh.items())
            self._fresh = {}

    def _module(self, worker: Worker, name: str) -> Path | None:
        """Where a module of ours lies; `None` for all others, and for what is a name within a module."""
        first, *rest = name.split(".")
        place: Path | None = HOST if first == HOST_PACKAGE else None
        if first == PACKAGE and rest:
            backend, *rest = rest
            place = worker.folder if backend == worker.backend else BUILT_IN / backend
        if place is None:
            return None
        if not rest:
            if first == HOST_PACKAGE:
                return None  # Steps have it as a bare package: its own file is not run.
            return place / "__init__.py" if "__init__.py" in self._names(place) else None
        inner = place.joinpath(*rest)
        if "__init__.py" in self._names(
            inner
        ):  # Before a module of the same name, as Python has it.
            return inner / "__init__.py"
        return inner.with_suffix(".py") if f"{inner.name}.py" in self._names(inner.parent) else None

    def _names(self, folder: Path) -> frozenset[str]:
        place = os.fspath(folder)
        if place not in self._listed:
            try:
                self._listed[place] = frozenset(os.listdir(place))
            except (FileNotFoundError, NotADirectoryError):
                return self._listed.setdefault(place, frozenset())
            self._memo.look(place)  # A module that comes or goes changes its folder's time.
        return self._listed[place]

    def _look(self, file: Path) -> Needs:
        """What a source file needs."""
        if file not in self._read:
            digest = self._digest(file)
            if self._known is None:
                self._known = self._index.needs()
            text = self._known.get(digest)
            if text is None:
                from buildsys.engine.staleness.source_needs import needs_of  # It imports `ast`.

                text = needs_of(file).to_json()
                self._known[digest] = self._fresh[digest] = text
            self._read[file] = Needs.from_json(text)
        return self._read[file]

    def _scripts(self, file: Path, needs: Needs) -> Iterator[Path]:
        """The files that one names, and those that they name."""
        waiting, seen = [(file.parent, name) for name in needs.scripts], {file}
        while waiting:
            folder, name = waiting.pop()
            script = Path(os.path.normpath(folder / name))
            if script in seen or script.name not in self._names(script.parent):
                continue
            seen.add(script)
            yield script
            waiting += [(script.parent, each) for each in self._look(script).scripts]

    def _below(self, place: Path) -> Iterator[Path]:
        if place.suffix or not place.is_dir():
            yield place
            return
        for name in sorted(self._names(place) - {"__pycache__"}):
            yield from self._below(place / name)

    @staticmethod
    def _label(worker: Worker, file: Path) -> str:
        if worker.folder is not None and file.is_relative_to(worker.folder):
            return f"{worker.backend}/{file.relative_to(worker.folder).as_posix()}"
        for base in (BUILT_IN, HOST):
            if file.is_relative_to(base):
                return file.relative_to(base).as_posix()
        return file.name


def _wanted(package: str, name: str, needs: Needs) -> Iterator[str]:
    """Full names of what may be a module: the packages around a module, and what it imports."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
    for up, module, names in needs.modules:
        base = module
        if up:
            around = package.split(".")
            parts = around[: len(around) - up + 1]
            base = ".".join([*parts, module] if module else parts)
        yield base
        yield from (f"{base}.{each}" for each in names)
