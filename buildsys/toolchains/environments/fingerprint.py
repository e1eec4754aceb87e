"""What is installed in an environment, and the digest of it that enters action keys."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import site
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildsys.toolchains.locks.lockfile import normalise

if TYPE_CHECKING:
    from importlib.metadata import Distribution


@dataclass(frozen=True)
class Interpreter:
    """A Python, and the machine it was built for.

    Attributes:
        version: With its patch level, for example `3.11.7`.
        implementation: For example `CPython`.
        system: For example `Linux`.
        machine: For example `x86_64`.
    """

    version: str
    implementation: str
    system: str
    machine: str

    @property
    def minor(self) -> str:
        """For example `3.11`."""
        return ".".join(self.version.split(".")[:2])

    @staticmethod
    def host() -> Interpreter:
        """The one that this program runs in."""
        return Interpreter(
            platform.python_version(),
            platform.python_implementation(),
            platform.system(),
            platform.machine(),
        )


@dataclass(frozen=True)
class Fingerprint:
    """What an environment holds.

    Attributes:
        digest: sha256 in hex, over the interpreter and all that is installed.
        installed: `name==version` of each package, sorted; local versions (`+cpu`) are kept.
        python: The interpreter's version.
    """

    digest: str
    installed: tuple[str, ...]
    python: str = ""

    @staticmethod
    def of(interpreter: Interpreter, installed: Iterable[str]) -> Fingerprint:
        """The fingerprint of these packages in this interpreter."""
        packages = tuple(sorted(installed))
        canonical = json.dumps(
            {**asdict(interpreter), "installed": packages}, sort_keys=True, separators=(",", ":")
        )
        return Fingerprint(
            hashlib.sha256(canonical.encode()).hexdigest(), packages, interpreter.version
        )


def site_packages(folder: Path, minor: str) -> Path:
    """Where an environment's packages are."""
    return folder / "lib" / f"python{minor}" / "site-packages"


def installed_in(paths: Iterable[str]) -> tuple[str, ...]:
    """`name==version` of the packages in folders, as an import over them would find them."""
    from importlib.metadata import distributions  # The import takes a tenth of a plan.

    found: dict[str, str] = {}
    for distribution in distributions(path=list(paths)):
        name = name_of(distribution)
        if name is not None:
            found.setdefault(name, version_of(distribution))
    return tuple(sorted(f"{name}=={version}" for name, version in found.items()))


def host_fingerprint() -> Fingerprint:
    """The interpreter that this program runs in, with what its workers see. Starts no process."""
    return Fingerprint.of(Interpreter.host(), installed_in(worker_path()))


def worker_path() -> list[str]:
    """Where a worker in this program's own environment finds packages.

    It starts without the user's variables and the user's own `site-packages`.
    """
    hidden = {os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    hidden.add(os.path.abspath(site.getusersitepackages()))
    kept = set(site.getsitepackages())
    return [e for e in sys.path if e in kept or os.path.abspath(e) not in hidden]


def missing(site: Path, name: str, prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """What an installed package asks for and does not find, of names that start in `prefixes`.

    Returns:
        Requirements as the package states them; those for extras are left out.
    """
    from importlib.metadata import distributions

    there = {name_of(each): each for each in distributions(path=[str(site)])}
    asked = (there[name].requires or []) if name in there else []
    # A name ends where its extras, its version or its marker start.
    wanted = {r: normalise(re.split(r"[^\w.-]", r, maxsplit=1)[0]) for r in asked}
    return tuple(
        r
        for r, each in wanted.items()
        if each.startswith(prefixes) and each not in there and "extra ==" not in r
    )


def name_of(distribution: Distribution) -> str | None:
    """A package's normalized name; a folder that an interrupted uninstall left behind has none."""
    name = _field("Name", distribution)
    return normalise(name) if name else None


def version_of(distribution: Distribution) -> str:
    """A package's version, with its local part."""
    return _field("Version", distribution) or ""


def _field(name: str, distribution: Distribution) -> str | None:
    """A field of a package's metadata; the library parses all of it each time, descriptions too."""
    texts = map(distribution.read_text, ("METADATA", "PKG-INFO", ""))
    head = next(filter(None, texts), "").partition("\n\n")[0]
    found = re.search(rf"^{name}:[ \t]*(.+)$", head, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else None
