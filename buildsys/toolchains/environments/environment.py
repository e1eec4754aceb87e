"""One environment on disk: a folder that counts only once its marker is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildsys.toolchains.environments import contents
from buildsys.toolchains.environments import node as javascript
from buildsys.toolchains.environments.fingerprint import (
    Fingerprint,
    Interpreter,
    installed_in,
    missing,
    site_packages,
)
from buildsys.toolchains.environments.permissions import remove, seal
from buildsys.toolchains.errors import ALTERED, FULL, ToolchainError, explain
from buildsys.toolchains.processes import Processes

if TYPE_CHECKING:
    from buildsys.toolchains.environments.installers import Installer
    from buildsys.toolchains.environments.interpreters import Found

MARKER = "modelbuild.json"
LOOK = "modelbuild.look.json"
"""Stamps of what an installer touches, as they were when the contents were last found unchanged."""
VERSION = 1

# A CUDA build of torch does not start without these, though nothing here uses a GPU by them.
CUDA = ("cuda-", "nvidia-")
CUDA_SAID = (
    "installing the CUDA libraries that this build of torch does not start without "
    "(a CPU build, from an index that has one, does without them)"
)


@dataclass(frozen=True)
class Step:
    """One call of the installer.

    Attributes:
        says: Shown to the user.
        arguments: The installer's, after `install`.
        requirements: Text of a requirements file to install from, put where `FILE` stands.
    """

    says: str
    arguments: tuple[str, ...]
    requirements: str = ""


FILE = "{file}"


@dataclass(frozen=True)
class Look:
    """What was seen of an environment.

    Attributes:
        fingerprint: What it holds; `None` where it is absent, half made, another's or altered.
        altered: How it differs from what was put into it.
    """

    fingerprint: Fingerprint | None
    altered: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """The note of an earlier look.

    Attributes:
        stamps: Of what installers touch, when the contents were last as they should be.
        contents: What an environment held at the first look, where its marker does not say.
    """

    stamps: contents.Stamps
    contents: contents.Contents | None


@dataclass(frozen=True)
class Environment:
    """An environment that is wanted.

    Attributes:
        name: For errors: the toolchain's, or the requirements file.
        folder: Where it is, or will be.
        key: Digest of all that is asked of it; one with another key is not reused.
        minor: Of its Python.
        cwd: Where the installer runs; the folder above it by default.
        node: The folder of npm's manifests, where it holds packages of npm as well.
    """

    name: str
    folder: Path
    key: str
    minor: str
    cwd: Path | None = None
    node: Path | None = None

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def node_program(self) -> Path:
        """Its link to Node.js, where it holds packages of npm."""
        return self.folder / "bin" / "node"

    @property
    def log(self) -> Path:
        """What the installer said the last time."""
        return self.folder.parent / "logs" / f"{self.folder.name}.log"

    @property
    def lock(self) -> Path:
        """Held while it is made."""
        return self.folder.parent / "locks" / f"{self.folder.name}.lock"

    def look(self, version: Callable[[Path], str | None]) -> Look:
        """Looks at what it holds: at stamps, and where these differ, at all that is installed.

        Nothing is changed but the note of the stamps.

        Args:
            version: Asks a program for its version; `None` where that does not start.
        """
        try:
            marker = json.loads((self.folder / MARKER).read_text())
            if marker["version"] != VERSION or marker["key"] != self.key:
                return Look(None)
            interpreter = Interpreter(**marker["interpreter"])
            found = Fingerprint.of(interpreter, marker["installed"])
            before = contents.Contents.of_json(marker.get("contents"))
        except (OSError, ValueError, KeyError, TypeError):
            return Look(None)
        # The Python that it stands on may have been removed since.
        if not self.python.exists() or not (self.node is None or self.node_program.exists()):
            return Look(None)
        seen = self._seen()
        if contents.hold(self.folder, seen.stamps):
            return Look(found)
        try:
            stamps = contents.stamps(self.folder, self.minor, node=self.node is not None)
            now = contents.contents(self.folder, self.minor, node=self.node is not None)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Look(None, (f"what is installed cannot be read ({error})",))
        before = before or seen.contents
        said = contents.differences(before, found.installed, now)
        said += self._program(seen.stamps, stamps, interpreter, version)
        if said:
            return Look(None, said)
        self._note(_Seen(stamps, before or now))
        return Look(found)

    def _program(
        self,
        before: contents.Stamps,
        now: contents.Stamps,
        interpreter: Interpreter,
        version: Callable[[Path], str | None],
    ) -> tuple[str, ...]:
        """How the Python that it stands on has changed: it lies elsewhere, and is updated there."""
        path = self.python.relative_to(self.folder).as_posix()
        runs = version(self.python) if before.get(path) != now.get(path) else None
        if runs is None or runs == interpreter.version:
            return ()
        return (f"it runs on Python {runs} in place of {interpreter.version}",)

    def evidence(self) -> list[Path]:
        """Files and folders whose times change with what it holds."""
        stamped = [self.folder / path for path in self._seen().stamps]
        linked = [self.node_program] if self.node is not None else []
        return list(dict.fromkeys([self.folder / MARKER, self.python, *linked, *stamped]))

    def _seen(self) -> _Seen:
        try:
            record = json.loads((self.folder / LOOK).read_text())
            known = contents.Contents.of_json(record["contents"])
            return _Seen(dict(record["stamps"]), known)
        except (OSError, ValueError, KeyError, TypeError):
            return _Seen({}, None)

    def _note(self, seen: _Seen) -> None:
        record = {
            "stamps": seen.stamps,
            "contents": seen.contents.to_json() if seen.contents is not None else None,
        }
        temporary = self.folder / f"{LOOK}.{os.getpid()}"
        with suppress(OSError):  # Somebody else's folder: the next one looks again.
            temporary.write_text(json.dumps(record))
            temporary.replace(self.folder / LOOK)

    def make(
        self,
        steps: tuple[Step, ...],
        found: Found,
        installer: Installer,
        processes: Processes,
        on_progress: Callable[[str], None],
        hold: int,
        environ: Mapping[str, str],
    ) -> Fingerprint:
        """Makes it again. The caller holds its lock. npm's settings are among the user's variables.

        Raises:
            ToolchainError: The installer failed.
            OSError: The disk would not have it.
        """
        maker = _Maker(self, installer, processes, on_progress, hold)
        self._clear()
        self.log.unlink(missing_ok=True)
        try:
            installed = self._fill(steps, found, maker)
            if self.node is not None:
                installed += self._fill_node(self.node, environ, maker)
            seal(self.folder)
            self._mark(found.interpreter, installed, installer)
        except (ToolchainError, OSError):
            # Half an environment is of no use, and may be what filled the disk.
            self._clear()
            raise
        return Fingerprint.of(found.interpreter, installed)

    def _fill(self, steps: tuple[Step, ...], found: Found, maker: _Maker) -> tuple[str, ...]:
        maker.run("making a virtual environment", _venv(found, self.folder))
        for number, step in enumerate(steps):
            maker.install(step, number)
        site = site_packages(self.folder, self.minor)
        cuda = missing(site, "torch", CUDA) if found.interpreter.system == "Linux" else ()
        if cuda:
            maker.install(Step(CUDA_SAID, cuda), len(steps))
        return installed_in([str(site)])

    def _fill_node(
        self, manifests: Path, environ: Mapping[str, str], maker: _Maker
    ) -> tuple[str, ...]:
        try:
            npm = javascript.find(site_packages(self.folder, self.minor), environ)
        except javascript.NoNode as error:
            raise ToolchainError(self.name, str(error), error.hint) from error
        for name in (javascript.PACKAGE, javascript.LOCK):
            shutil.copyfile(manifests / name, self.folder / name)
        command = npm.install(self.folder, offline=maker.installer.offline)
        maker.run("installing packages of npm", command, npm)
        self.node_program.symlink_to(npm.program)
        from buildsys.toolchains.environments.verification import note_node_files

        note_node_files(self.folder)
        return javascript.installed_in(self.folder)

    def _clear(self) -> None:
        # The marker first: a removal that is cut short must leave nothing that looks whole.
        (self.folder / MARKER).unlink(missing_ok=True)
        if self.folder.exists():
            remove(self.folder)

    def _mark(
        self, interpreter: Interpreter, installed: tuple[str, ...], installer: Installer
    ) -> None:
        node = self.node is not None
        held = contents.contents(self.folder, self.minor, node=node)
        self._note(_Seen(contents.stamps(self.folder, self.minor, node=node), held))
        marker = {
            "version": VERSION,
            "name": self.name,
            "key": self.key,
            "interpreter": asdict(interpreter),
            "installer": installer.name,
            "installed": installed,
            "contents": held.to_json(),
        }
        temporary = self.folder / f"{MARKER}.new"
        with temporary.open("w") as file:
            file.write(json.dumps(marker, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / MARKER)


@dataclass(frozen=True)
class _Maker:
    environment: Environment
    installer: Installer
    processes: Processes
    on_progress: Callable[[str], None]
    hold: int

    def install(self, step: Step, number: int) -> None:
        file = self.environment.folder / f"requirements-{number}.txt"
        if step.requirements:
            file.write_text(step.requirements)
        arguments = tuple(str(file) if a == FILE else a for a in step.arguments)
        self.run(step.says, self.installer.command(self.environment.python, arguments))

    def run(
        self,
        says: str,
        command: tuple[str, ...],
        npm: javascript.Node | None = None,
    ) -> None:
        self.on_progress(says)
        log = self.environment.log
        before = log.stat().st_size if log.exists() else 0
        status = self.processes.run(
            command,
            cwd=self.environment.cwd or self.environment.folder.parent,
            environ=npm.environ if npm else self.installer.environ,
            log=log,
            hold=self.hold,
        )
        if status != 0:
            said = log.read_bytes()[before:].decode(errors="replace").partition("\n")[2]
            message, hint = javascript.explain(said) if npm else explain(said)
            kept = self.installer.offline and npm is None
            if kept and not any(sign in said.lower() for sign in (*FULL, *ALTERED)):
                message, hint = offline(message, self.installer.name)
            if status < 0:
                message, hint = f"{says} was ended by signal {-status}", None
            raise ToolchainError(self.environment.name, message, hint, log)


def offline(message: str, installer: str) -> tuple[str, str]:
    """The message and the hint for what cannot be made without the network."""
    kept = "uv's cache does" if installer == "uv" else "pip's `find-links` folders do"
    lines = message.partition("\n")[2]
    said = f"it is not installed, and with `--offline` {kept} not hold all that it needs"
    hint = "run the command without `--offline` once, or `modelbuild toolchain install`"
    return f"{said}\n{lines}" if lines else said, hint


def refused(name: str, error: OSError) -> ToolchainError:
    """The error for a disk that would not take an environment."""
    hint = "set MODELBUILD_CACHE to a folder that can be written"
    if any(sign in str(error).lower() for sign in FULL):
        hint = explain(str(error))[1] or hint
    return ToolchainError(name, f"it cannot be written: {error}", hint)


def _venv(found: Found, folder: Path) -> tuple[str, ...]:
    # `-I`: no code of the caller's folder, no PYTHONPATH. No pip inside: the installer is outside.
    return (str(found.program), "-I", "-m", "venv", "--without-pip", str(folder))
