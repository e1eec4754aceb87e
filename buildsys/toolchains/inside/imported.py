"""Tells which versions of installed packages a step has imported, so that its key can be held to them."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable

METADATA = (".dist-info", ".egg-info")
TOP = re.compile(rb"^([^/,\n]+)", re.MULTILINE)
PYTHON = "python"
"""The name under which the interpreter itself is reported."""

Found = tuple[str, str]
"""A distribution's normalized name and its version."""


class Imported:
    """Looks at what is installed when the process begins, and again when a step ends.

    A host imports once and forks for each step; an installer may come in between. What was imported
    before is of the first look, what is imported later may be of the second: both are reported.

    Args:
        path: `sys.path` as the process began with it.
    """

    def __init__(self, path: Iterable[str]) -> None:
        self._folders = [folder for folder in path if os.path.isdir(folder)]
        self._times = self._changed()
        self._first = self._listing()
        self._known: dict[str, Found] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._listed: dict[str, frozenset[str]] = {}
        self._python = (PYTHON, platform.python_version())
        self._warm: set[Found] = set()
        self._modules, self._last = 0, ""

    def report(self) -> list[list[str]]:
        """Name and version of each package that a module was imported of, and of Python.

        A package that was replaced since the process began is reported with both versions.
        """
        found = {self._python, *self._warm, *self._of(self._first, self._since())}
        if self._changed() != self._times:
            # The names are other ones now, and so are the owners of modules.
            self._owners.clear()
            found |= self._of(self._listing(), list(sys.modules))
        return sorted(map(list, found))

    def warm(self) -> None:
        """Finds out beforehand what the modules imported so far belong to; forks inherit it."""
        self._warm = self._of(self._first, list(sys.modules))
        self._modules, self._last = len(sys.modules), next(reversed(sys.modules), "")

    def _since(self) -> list[str]:
        """The modules that were imported since `warm`.

        They come last. To look at all of them in a fork would copy the pages that they lie in.
        """
        found: list[str] = []
        for name in reversed(sys.modules):
            if name == self._last:
                break
            found.append(name)
        return found if len(sys.modules) == self._modules + len(found) else list(sys.modules)

    def _changed(self) -> list[int]:
        return [os.stat(folder).st_mtime_ns for folder in self._folders]

    def _listing(self) -> dict[str, str]:
        """Normalized name of each distribution to its folder of metadata; the first of the path counts."""
        found: dict[str, str] = {}
        for folder in self._folders:
            for entry in os.listdir(folder):
                if entry.endswith(METADATA):
                    name = normalized(entry.rpartition(".")[0].partition("-")[0])
                    found.setdefault(name, os.path.join(folder, entry))
        return found

    def _of(self, listing: dict[str, str], modules: Iterable[str]) -> set[Found]:
        folders = tuple(folder + os.sep for folder in self._folders)
        tops = {
            name
            for name in modules
            if "." not in name and _place(sys.modules.get(name)).startswith(folders)
        }
        for top in tops - self._owners.keys():
            self._owners[top] = self._find(top, listing)
        names = {name for top in tops for name in self._owners[top] if name in listing}
        return {self._version(name, listing[name]) for name in names}

    def _find(self, top: str, listing: dict[str, str]) -> tuple[str, ...]:
        """The distributions that a module belongs to; several share a namespace."""
        if normalized(top) in listing:
            return (normalized(top),)
        return tuple(name for name, folder in listing.items() if top in self._tops(folder))

    def _tops(self, folder: str) -> frozenset[str]:
        """The modules and packages that a distribution lists at the top."""
        if folder not in self._listed:
            record = _read(os.path.join(folder, "RECORD"))
            record = record or _read(os.path.join(folder, "top_level.txt"))
            # A line begins with a path; the name of an extension module has the ABI in it.
            firsts = set(TOP.findall(record))
            self._listed[folder] = frozenset(
                first.decode(errors="replace").partition(".")[0] for first in firsts
            )
        return self._listed[folder]

    def _version(self, name: str, folder: str) -> Found:
        if folder not in self._known:
            head = b""
            for file in ("METADATA", "PKG-INFO", ""):
                head = head or _read(os.path.join(folder, file) if file else folder)
            text = head.partition(b"\n\n")[0].decode(errors="replace")
            version = re.search(r"^Version:[ \t]*(.+)$", text, re.MULTILINE | re.IGNORECASE)
            known = re.search(r"^Name:[ \t]*(.+)$", text, re.MULTILINE | re.IGNORECASE)
            # It may have been removed since it was seen; its folder's name tells as well.
            by_name = os.path.basename(folder).rpartition(".")[0].partition("-")[2]
            self._known[folder] = (
                normalized(known[1].strip()) if known else name,
                version[1].strip() if version else by_name,
            )
        return self._known[folder]


def normalized(name: str) -> str:
    """A distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _place(module: object) -> str:
    """Where a module lies; a package without `__init__.py` has a path only."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        try:
            file = next(iter(getattr(module, "__path__", ())), None)
        except Exception:  # A lazy module of somebody's may raise anything.
            file = None
    return file if isinstance(file, str) else ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
