"""Makes environments on first use, and says what is in them."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buildsys.backends.toolchain import Toolchain
from buildsys.small_files import read_text
from buildsys.toolchains.environments import interpreters, node
from buildsys.toolchains.environments.environment import FILE, Environment, Look, Step, refused
from buildsys.toolchains.environments.fingerprint import Fingerprint, host_fingerprint
from buildsys.toolchains.errors import ToolchainError
from buildsys.toolchains.file_lock import exclusive
from buildsys.toolchains.health import Health, State
from buildsys.toolchains.locks.lockfile import parse, render
from buildsys.toolchains.processes import LocalProcesses, Processes

if TYPE_CHECKING:
    from buildsys.toolchains.environments.installers import Installer
    from buildsys.toolchains.environments.verification import Damage, Digests

DIGITS = 12
PRIVATE = 0o700
HASHED = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", FILE)
UNHASHED = ("--no-deps", "--only-binary", ":all:", "-r", FILE)
NESTED = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)", re.MULTILINE)


def _silent(line: str) -> None:
    """A listener that ignores progress."""


class Provisioner:
    """The environments below one folder, shared by all projects that use it.

    Nothing is written outside of that folder, but for the installer's own cache.

    Args:
        root: Where environments are made.
        toolchains: The declared ones, by name.
        overrides: Lock files that a recipe puts in place of the toolchains' own, by name.
        environ: Environment variables: pip's and uv's settings, and the path.
        processes: How programs are started.
        offline: Whether what is missing is made without the network.
    """

    def __init__(
        self,
        root: Path,
        toolchains: Mapping[str, Toolchain],
        overrides: Mapping[str, Path] | None = None,
        environ: Mapping[str, str] = os.environ,
        processes: Processes | None = None,
        *,
        offline: bool = False,
    ) -> None:
        self.root = root
        self.toolchains = toolchains
        self._overrides = overrides or {}
        self._environ = environ
        self._processes = processes or LocalProcesses()
        self._offline = offline

    def stop(self) -> None:
        """Kills the installers that run, from another thread than theirs; starts no more."""
        self._processes.stop()

    def lock_digest(self, name: str) -> str:
        """sha256, in hex, of a toolchain's lock (npm's too) and the minor version of its Python.

        Raises:
            ToolchainError: There is no such toolchain, or its lock file cannot be read.
        """
        return self._key(self._lock_text(name) + self._node_text(name), self._minor(name))

    def folder(self, name: str) -> Path:
        """Where a toolchain is, or will be."""
        return self._named(name, self.lock_digest(name))

    def evidence(self, name: str) -> list[Path]:
        """What says what a toolchain is: its lock, and all that an installer would touch in it."""
        lock = self._overrides.get(name) or self._declared(name).lock
        return [lock, *self._manifests(name), *self._toolchain(name).evidence()]

    def evidence_requirements(self, file: Path) -> list[Path]:
        """As `evidence`, for an environment made from a requirements file."""
        wanted = self._requirements(file)
        seen: set[Path] = set()
        _with_nested(file.absolute(), seen)
        return [*sorted(seen), *wanted.evidence()]

    def python(self, name: str) -> Path:
        """A toolchain's interpreter."""
        return self._toolchain(name).python

    def installed(self, name: str) -> Fingerprint | None:
        """What a toolchain holds; `None` where it is still to be made, or altered since."""
        return self.look(name).fingerprint

    def look(self, name: str) -> Look:
        """What a toolchain holds, and how it was altered.

        Reads two small files and some times; all that is installed only where one of these differs.
        """
        return self._look(self._toolchain(name))

    def look_requirements(self, file: Path) -> Look:
        """As `look`, for an environment made from a requirements file."""
        return self._look(self._requirements(file))

    def _look(self, wanted: Environment) -> Look:
        def version(program: Path) -> str | None:
            found = interpreters.probe(str(program), wanted.minor, self._environ, self._processes)
            return found.interpreter.version if found is not None else None

        return wanted.look(version)

    def ensure(
        self, name: str, on_progress: Callable[[str], None] = _silent, *, force: bool = False
    ) -> Fingerprint:
        """Makes a toolchain where it is missing or altered.

        Of several processes that want it at once one makes it; the others wait, and say for whom.
        An environment that a killed process left half made is never used, and made again.

        Args:
            name: The toolchain's.
            on_progress: Told what is done.
            force: Whether one that is there is made again as well, and then read.

        Raises:
            ToolchainError: It cannot be made: the package index cannot be reached, no fitting
                Python, no disk; or the installer's cache holds altered files.
        """
        wanted = self._toolchain(name)
        made = self._ensure(wanted, lambda: self._steps(name), on_progress, force=force)
        if force:
            on_progress("reading all that was installed")
            self._refuse_damage(wanted)
        return made

    def _refuse_damage(self, wanted: Environment) -> None:
        """Raises an error where what was just installed is not what its packages list."""
        from buildsys.toolchains.environments.verification import Digests

        damage = self._damage(wanted, Digests())
        if damage:
            names = " ".join(each.package.partition("==")[0] for each in damage)
            raise ToolchainError(
                wanted.name,
                f"it was reinstalled, and still holds altered files of {names}: the installer's cache "
                "links to the same files",
                f"run `uv cache clean {names}` (or `pip cache purge`), then "
                f"`modelbuild toolchain install --force {wanted.name}`",
            )

    @staticmethod
    def _damage(wanted: Environment, digests: Digests) -> list[Damage]:
        from buildsys.toolchains.environments.verification import verify

        return verify(wanted.folder, wanted.minor, digests, node=wanted.node is not None)

    def check(self, name: str, digests: Digests | None = None) -> Health:
        """Looks whether a toolchain is there and starts, or could be made. Changes nothing.

        The package index is not asked.

        Args:
            name: The toolchain's.
            digests: Known digests of files. Where they are given, each file is read and compared with
                what its installer recorded; some seconds for a gigabyte.
        """
        try:
            wanted = self._toolchain(name)
            self._steps(name)
            look = self._look(wanted)
            if look.fingerprint is None:
                self._means(wanted)
        except ToolchainError as error:
            return Health(name, State.IMPOSSIBLE, None, str(error), error.hint)
        damage: tuple[Damage, ...] = ()
        if digests is not None and (look.altered or look.fingerprint is not None):
            damage = tuple(self._damage(wanted, digests))
        if look.altered or damage:
            altered = look.altered or tuple(map(_damage_said, damage))
            return Health(
                name,
                State.ALTERED,
                wanted.folder,
                "it is not what was installed: " + "; ".join(altered),
                f"run `modelbuild toolchain install --force {name}`",
                altered=look.altered,
                damage=damage,
            )
        found = look.fingerprint
        if found is None:
            return Health(name, State.ABSENT, wanted.folder)
        broken = self._broken(wanted)
        if broken is None:
            return Health(name, State.READY, wanted.folder, packages=len(found.installed))
        mend = f"run `modelbuild toolchain install --force {name}`"
        return Health(name, State.BROKEN, wanted.folder, broken, mend)

    def _broken(self, wanted: Environment) -> str | None:
        """What of an environment does not start."""
        python = str(wanted.python)
        if not interpreters.probe(python, wanted.minor, self._environ, self._processes):
            return f"its Python {wanted.minor} does not start"
        command = (str(wanted.node_program), "--version")
        if wanted.node and self._processes.ask(command, environ=self._environ) is None:
            return "its Node.js does not start"
        return None

    def installed_requirements(self, file: Path) -> Fingerprint | None:
        """As `installed`, for an environment made from a requirements file."""
        return self.look_requirements(file).fingerprint

    def python_requirements(self, file: Path) -> Path:
        """As `python`, for an environment made from a requirements file."""
        return self._requirements(file).python

    def ensure_requirements(
        self, file: Path, on_progress: Callable[[str], None] = _silent
    ) -> Fingerprint:
        """As `ensure`, for the environment of a requirements file.

        The file may be loose: it is resolved when the environment is made, and what was installed
        is recorded. It is resolved again when its text (or that of a file it includes) changes.
        """
        step = Step(f"resolving and installing {file.name}", ("-r", str(file.absolute())))
        return self._ensure(self._requirements(file), lambda: (step,), on_progress)

    def host_fingerprint(self) -> Fingerprint:
        """The interpreter that this program runs in. Starts no process."""
        return host_fingerprint()

    def _toolchain(self, name: str) -> Environment:
        digest = self.lock_digest(name)
        folder, declared = self._named(name, digest), self._declared(name)
        return Environment(name, folder, digest, self._minor(name), node=declared.node)

    def _requirements(self, file: Path) -> Environment:
        try:
            text = _with_nested(file.absolute(), set())
        except OSError as error:
            raise ToolchainError(
                str(file),
                f"the requirements file cannot be read: {error.strerror}",
                "correct the model's `environment.requirements`",
            ) from error
        # A model's own packages run beside its code: on the very Python that the user has.
        minor = ".".join(platform.python_version_tuple()[:2])
        key = self._key(text, minor)
        folder = self._named("requirements", key)
        return Environment(str(file), folder, key, minor, file.absolute().parent)

    def _steps(self, name: str) -> tuple[Step, ...]:
        try:
            pins = parse(self._lock_text(name))
        except ValueError as error:
            raise ToolchainError(
                name,
                f"its lock file is of no use: {error}",
                f"run `modelbuild toolchain lock {name}`, or correct `toolchains.{name}.lock`",
            ) from error
        hashed = [pin for pin in pins if pin.hashes]
        # In a step of their own: with one hash in a file, pip asks for one on every line.
        free = [pin for pin in pins if not pin.hashes]
        steps = []
        if hashed:
            steps.append(Step(f"installing {len(hashed)} packages", HASHED, render(hashed)))
        if free:
            named = ", ".join(pin.requirement for pin in free)
            steps.append(Step(f"installing {named}", UNHASHED, render(free)))
        return tuple(steps)

    def _ensure(
        self,
        wanted: Environment,
        steps: Callable[[], tuple[Step, ...]],
        on_progress: Callable[[str], None],
        *,
        force: bool = False,
    ) -> Fingerprint:
        look = self._look(wanted)
        if look.fingerprint is not None and not force:
            return look.fingerprint
        try:
            # A folder that is there already may be shared on purpose.
            self.root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            wanted.log.parent.mkdir(parents=True, exist_ok=True)
            wanted.lock.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(wanted.lock, lambda who: on_progress(f"waiting for {who}")) as hold:
                # Whoever held the lock may have made it.
                look = self._look(wanted)
                if look.fingerprint is not None and not force:
                    return look.fingerprint
                if look.altered:
                    on_progress(f"it was altered ({'; '.join(look.altered)}); reinstalling it")
                return self._make(wanted, steps(), on_progress, hold)
        except OSError as error:
            raise refused(wanted.name, error) from error

    def _make(
        self,
        wanted: Environment,
        steps: tuple[Step, ...],
        on_progress: Callable[[str], None],
        hold: int,
    ) -> Fingerprint:
        python, installer = self._means(wanted)
        return wanted.make(
            steps, python, installer, self._processes, on_progress, hold, self._environ
        )

    def _means(self, wanted: Environment) -> tuple[interpreters.Found, Installer]:
        """What an environment is made with.

        Raises:
            ToolchainError: No fitting Python, or no installer.
        """
        import configparser

        from buildsys.toolchains.environments import installers

        try:
            installer = installers.choose(self._environ, offline=self._offline)
        except installers.NoInstaller as error:
            raise ToolchainError(wanted.name, str(error), error.hint) from error
        except configparser.Error as error:
            raise ToolchainError(
                wanted.name, f"pip's settings cannot be read: {error}", "see `pip config debug`"
            ) from error
        python = interpreters.find(wanted.minor, self._environ, self._processes)
        if python is None:
            raise ToolchainError(
                wanted.name,
                f"it needs Python {wanted.minor}, which was not found",
                f"install it, or run `uv python install {wanted.minor}`",
            )
        return python, installer

    def _declared(self, name: str) -> Toolchain:
        if name not in self.toolchains:
            known = ", ".join(f"`{each}`" for each in sorted(self.toolchains))
            raise ToolchainError(name, "no backend declares it", f"these are known: {known}")
        return self.toolchains[name]

    def _minor(self, name: str) -> str:
        return interpreters.minor_for(self._declared(name).python, self._environ)

    def _lock_text(self, name: str) -> str:
        file = self._overrides.get(name) or self._declared(name).lock
        try:
            return read_text(file)
        except OSError as error:
            raise ToolchainError(
                name,
                f"its lock file {file} cannot be read: {error.strerror}",
                f"correct `toolchains.{name}.lock`"
                if name in self._overrides
                else f"run `modelbuild toolchain lock {name}`",
            ) from error

    def _manifests(self, name: str) -> list[Path]:
        folder = self._declared(name).node
        return [folder / node.PACKAGE, folder / node.LOCK] if folder else []

    def _node_text(self, name: str) -> str:
        """The text of npm's manifests; empty for a toolchain without JavaScript."""
        try:
            return "".join(f"\n# {m.name}\n{m.read_text()}" for m in self._manifests(name))
        except OSError as error:
            raise ToolchainError(
                name,
                f"{error.filename} cannot be read: {error.strerror}",
                f"run `modelbuild toolchain lock {name}`",
            ) from error

    def _named(self, name: str, digest: str) -> Path:
        return self.root / f"{name}-{digest[:DIGITS]}"

    @staticmethod
    def _key(text: str, minor: str) -> str:
        return hashlib.sha256(f"{text}\n# python {minor}\n".encode()).hexdigest()


def _damage_said(damage: Damage) -> str:
    """A package's damage in a few words."""
    counts = (
        (len(damage.altered), "altered"),
        (len(damage.missing), "missing"),
        (len(damage.foreign), "foreign"),
    )
    said = ", ".join(f"{count} {what}" for count, what in counts if count)
    files = (*damage.altered, *damage.missing, *damage.foreign)
    return f"{damage.package}: {said} (`{files[0]}`{', …' if len(files) > 1 else ''})"


def _with_nested(file: Path, seen: set[Path]) -> str:
    """A requirements file's text, with that of the local files it includes after it."""
    seen.add(file)
    text = read_text(file)
    nested = [(file.parent / name).resolve() for name in NESTED.findall(text) if "://" not in name]
    return "\n".join([text, *(_with_nested(n, seen) for n in nested if n not in seen)])
