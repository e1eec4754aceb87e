"""Compares each file of an environment with what its installer recorded of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildsys.toolchains.environments.contents import record_rows
from buildsys.toolchains.environments.fingerprint import name_of, site_packages, version_of

NODE_FILES = "modelbuild.npm.json"
"""Digests of the files of npm's packages, which npm itself does not keep."""
FOREIGN = "(no package)"
MODULES = "node_modules"


@dataclass(frozen=True)
class Damage:
    """What is wrong with the files of one package.

    Attributes:
        package: `name==version`, or `(no package)` for files that no package lists.
        altered: Files whose bytes are not what was installed, below the environment's folder.
        missing: Files that are gone.
        foreign: Files that no installer put there.
    """

    package: str
    altered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "package": self.package,
            "altered": list(self.altered),
            "missing": list(self.missing),
            "foreign": list(self.foreign),
        }


@dataclass
class Digests:
    """Digests of files; those that several environments link to are read once."""

    _known: dict[tuple[int, int, int, int], str] = field(default_factory=dict)

    def of(self, path: Path) -> str | None:
        """A file's sha256 as RECORD writes it; `None` where there is no such file."""
        try:
            found = path.stat()
            key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if key not in self._known:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").digest()
                self._known[key] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            return self._known[key]
        except OSError:
            return None


def verify(folder: Path, minor: str, digests: Digests, *, node: bool) -> list[Damage]:
    """Reads every file that is installed in an environment.

    Byte code is passed over: Python makes it, and no installer records it.

    Args:
        folder: The environment's.
        minor: Of its Python.
        digests: Those that are known, of other environments too.
        node: Whether it holds packages of npm as well.
    """
    from importlib.metadata import distributions  # The import takes a tenth of a plan.

    site = site_packages(folder, minor)
    listed: set[str] = set()
    found: list[Damage] = []
    for distribution in distributions(path=[str(site)]):
        rows = record_rows(distribution)
        altered, missing = [], []
        for name, written, *_ in rows:
            path = Path(os.path.normpath(site / name))
            listed.add(str(path))
            method, _, expected = written.partition("=")
            if name.endswith(".pyc") or method != "sha256":
                continue
            digest = digests.of(path)
            if digest is None:
                missing.append(_below(folder, path))
            elif digest != expected:
                altered.append(_below(folder, path))
        if altered or missing:
            package = f"{name_of(distribution)}=={version_of(distribution)}"
            found.append(Damage(package, tuple(sorted(altered)), tuple(sorted(missing))))
    foreign = tuple(_below(folder, path) for path in _files(site) if str(path) not in listed)
    if foreign:
        found.append(Damage(FOREIGN, foreign=foreign))
    return [*found, *(_verify_node(folder, digests) if node else ())]


def _verify_node(folder: Path, digests: Digests) -> Iterator[Damage]:
    try:
        listed: dict[str, str] = json.loads((folder / NODE_FILES).read_text())
    except (OSError, ValueError):
        return  # Made by an earlier version: nobody knows what npm put there.
    there = {_below(folder, path) for path in _files(folder / MODULES)}
    packages: dict[str, tuple[list[str], list[str], list[str]]] = {}
    for name in sorted(there | listed.keys()):
        kind = 2 if name not in listed else 1 if name not in there else 0
        if kind or digests.of(folder / name) != listed[name]:
            packages.setdefault(_node_package(name), ([], [], []))[kind].append(name)
    for package, (altered, missing, foreign) in packages.items():
        yield Damage(package, tuple(altered), tuple(missing), tuple(foreign))


def note_node_files(folder: Path) -> None:
    """Keeps the digests of what npm has just installed.

    Raises:
        OSError: They cannot be written.
    """
    digests = Digests()
    rows = {_below(folder, path): digests.of(path) for path in _files(folder / MODULES)}
    (folder / NODE_FILES).write_text(json.dumps(rows))


def _node_package(path: str) -> str:
    """The package that a file below `node_modules` belongs to."""
    parts = path.split("/")[1:]
    return "npm:" + "/".join(parts[: 2 if parts[0].startswith("@") else 1])


def _files(folder: Path) -> Iterator[Path]:
    """All files, sorted, but for byte code."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".pyc"):
                yield Path(root) / name


def _below(folder: Path, path: Path) -> str:
    return os.path.relpath(path, folder)
