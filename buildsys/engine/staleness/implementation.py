"""The digest of a worker's code: every module that its step imports, found by reading the imports.

Nothing is imported to find out. What a module says that it imports is remembered by the module's digest, so
that an unchanged module is parsed once. A name that stands for no module of ours, here or in a third party's
backend, belongs to the toolchain, whose fingerprint is in the key already.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildsys.backends import BUILT_IN
from buildsys.engine.staleness import keys
from buildsys.planner.graph import Worker
from buildsys.store import Index, Memo
from buildsys.toolchains.inside.program import HOST_PACKAGE, PACKAGE

HOST = BUILT_IN.parent
SCRIPTS = (".py", ".mjs", ".html")
"""Files that modules name, and start or write out."""
SCRIPT = re.compile(rf"[\w./-]+(?:{'|'.join(map(re.escape, SCRIPTS))})")
IMPORTED_SCRIPT = re.compile(r"""["'](\.{1,2}/[\w./-]+\.mjs)["']""")


@dataclass(frozen=True)
class Needs:
    """What one source file says that it needs.

    Attributes:
        modules: Imports: how many packages up (0: an absolute name), the module, and names of it.
        scripts: Names of files, relative to its folder, that it may start or write out.
    """

    modules: tuple[tuple[int, str, tuple[str, ...]], ...]
    scripts: tuple[str, ...]

    def to_json(self) -> str:
        """One line."""
        return json.dumps([self.modules, self.scripts], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Needs:
        """Reads what `to_json` wrote."""
        modules, scripts = json.loads(text)
        return cls(tuple((up, name, tuple(names)) for up, name, names in modules), tuple(scripts))


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
        self._read: dict[Path, tuple[str, Needs]] = {}

    def of(self, worker: Worker) -> str:
        """The digest of all that a worker's step may import, start or write out, by name and content."""
        place = (worker.backend, worker.folder, worker.modules, worker.files)
        if place not in self._digests:
            rows: dict[str, str] = {}
            for name, file in self.files(worker).items():
                rows[name] = self._memo.digest(file) or ""
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
            file = self._module(worker, name)
            if file is None:
                continue
            found[name] = file
            _, needs = self._look(file)
            for script in self._scripts(file, needs):
                found[self._label(worker, script)] = script
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            for each in _wanted(package, name, needs):
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return found

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

    def _look(self, file: Path) -> tuple[str, Needs]:
        """A source file's digest, and what it needs."""
        if file not in self._read:
            digest = self._memo.digest(file) or ""
            if self._known is None:
                self._known = self._index.needs()
            text = self._known.get(digest)
            if text is None:
                text = needs_of(file).to_json()
                self._known[digest] = self._fresh[digest] = text
            self._read[file] = digest, Needs.from_json(text)
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
            waiting += [(script.parent, each) for each in self._look(script)[1].scripts]

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


def needs_of(file: Path) -> Needs:
    """Reads what a source file needs; one that is no Python is looked through for scripts alone."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return Needs((), tuple(sorted(set(IMPORTED_SCRIPT.findall(text)))))
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return Needs((), ())  # Its step says so.
    modules: set[tuple[int, str, tuple[str, ...]]] = set()
    scripts: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            names = tuple(sorted(each.name for each in node.names))
            modules.add((node.level, node.module or "", names))
        elif isinstance(node, ast.Import):
            modules |= {(0, each.name, ()) for each in node.names}
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and SCRIPT.fullmatch(node.value):
                scripts.add(node.value)
        elif isinstance(node, ast.If) and _is_for_types(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return Needs(tuple(sorted(modules)), tuple(sorted(scripts)))


def _is_for_types(test: ast.expr) -> bool:
    """Whether a branch is for type checkers alone, and never run."""
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
