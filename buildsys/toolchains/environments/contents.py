"""What an environment holds, and how to see at little cost that it still does.

Every installer that adds, replaces or removes a package touches `site-packages` or the package's
`*.dist-info` folder. So the times of these folders are compared first; only where one differs, all that
is installed is looked at.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildsys.toolchains.environments import node as javascript
from buildsys.toolchains.environments.fingerprint import name_of, site_packages, version_of

if TYPE_CHECKING:
    from importlib.metadata import Distribution

METADATA = (".dist-info", ".egg-info")
BYTE_CODE = "__pycache__"

Stamps = dict[str, list[int]]
"""Path below the environment to time of change (ns) and inode."""


@dataclass(frozen=True)
class Contents:
    """All that is installed.

    Attributes:
        packages: `name==version` of each package to the digest of what its RECORD lists; empty where it
            has no RECORD.
        entries: The names in `site-packages` and, with an @, in `node_modules`.
    """

    packages: Mapping[str, str]
    entries: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For an environment's marker."""
        return {"packages": dict(self.packages), "entries": list(self.entries)}

    @staticmethod
    def of_json(record: Any) -> Contents | None:
        """From an environment's marker; `None` where it was made before contents were kept."""
        if record is None:
            return None
        return Contents(dict(record["packages"]), tuple(record["entries"]))


def contents(folder: Path, minor: str, *, node: bool) -> Contents:
    """Looks at all that is installed in an environment.

    Args:
        folder: The environment's.
        minor: Of its Python.
        node: Whether it holds packages of npm as well.

    Raises:
        OSError: Something cannot be read.
    """
    from importlib.metadata import distributions  # The import takes a tenth of a plan.

    site = site_packages(folder, minor)
    packages: dict[str, str] = {}
    for distribution in distributions(path=[str(site)]):
        name = name_of(distribution)
        if name is not None:
            packages.setdefault(f"{name}=={version_of(distribution)}", _record_digest(distribution))
    entries = [] if not site.exists() else [e for e in os.listdir(site) if e != BYTE_CODE]
    if node:
        packages |= dict.fromkeys(javascript.installed_in(folder), "")
        modules = folder / "node_modules"
        entries += [f"@{entry}" for entry in os.listdir(modules) if not entry.startswith(".")]
    return Contents(packages, tuple(sorted(entries)))


def record_rows(distribution: Distribution) -> list[Sequence[str]]:
    """The rows of a package's RECORD: path, hash, size."""
    return list(csv.reader((distribution.read_text("RECORD") or "").splitlines()))


def _record_digest(distribution: Distribution) -> str:
    """The digest of the files that a package lists; what an installer notes of itself is left out."""
    rows = sorted(
        (row[0], row[1])
        for row in record_rows(distribution)
        if len(row) > 1 and row[1] and ".dist-info/" not in row[0] and not row[0].endswith(".pyc")
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest() if rows else ""


def stamps(folder: Path, minor: str, *, node: bool) -> Stamps:
    """The stamps of all that an installer touches, and of the programs that the environment stands on.

    Raises:
        OSError: One of them is not there.
    """
    site = site_packages(folder, minor)
    paths = [folder / "bin" / "python"]
    if site.exists():
        paths.append(site)
        paths += [site / name for name in sorted(os.listdir(site)) if name.endswith(METADATA)]
    if node:
        modules = folder / "node_modules"
        paths += [folder / "bin" / "node", modules, modules / ".package-lock.json"]
    return {path.relative_to(folder).as_posix(): _stamp(path) for path in paths}


def hold(folder: Path, seen: Stamps) -> bool:
    """Whether all stamps of an environment are as they were. Costs one stat each."""
    try:
        return bool(seen) and all(_stamp(folder / path) == stamp for path, stamp in seen.items())
    except OSError:
        return False


def _stamp(path: Path) -> list[int]:
    found = os.stat(path)
    return [found.st_mtime_ns, found.st_ino]


def differences(
    before: Contents | None, installed: Iterable[str], now: Contents
) -> tuple[str, ...]:
    """Says in words how an environment differs from what was put into it.

    Args:
        before: What it held when it was made; `None` where only the names were kept.
        installed: `name==version` of each package by then.
        now: What it holds.
    """
    was, has = _versions(installed), _versions(now.packages)
    said = []
    for name in sorted(was.keys() | has.keys()):
        if name not in has:
            said.append(f"{name} {was[name]} is gone")
        elif name not in was:
            said.append(f"{name} {has[name]} was added")
        elif was[name] != has[name]:
            said.append(f"{name} {has[name]} in place of {was[name]}")
        elif before is not None and _replaced(f"{name}=={was[name]}", before, now):
            said.append(f"{name} {has[name]} is not the one that was installed")
    if said or before is None:
        return tuple(said)
    # Of a package that came or went, the folders need not be told as well.
    for entry in sorted(set(before.entries) ^ set(now.entries)):
        place = "node_modules" if entry.startswith("@") else "site-packages"
        what = "was added to" if entry in now.entries else "is gone from"
        said.append(f"{entry.removeprefix('@')} {what} {place}")
    return tuple(said)


def _replaced(package: str, before: Contents, now: Contents) -> bool:
    return before.packages.get(package, "") != now.packages.get(package, "")


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {name: version for name, _, version in (each.partition("==") for each in packages)}
