"""Environments that are installed as soon as they are asked for: what their locks say, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from buildsys.backends.toolchain import Toolchain
from buildsys.toolchains import Provisioner
from buildsys.toolchains.environments.fingerprint import Fingerprint, Interpreter
from buildsys.toolchains.locks.lockfile import parse

INTERPRETER = Interpreter("3.11.7", "CPython", "Linux", "x86_64")
HOST, REQUIREMENTS = "host", "requirements"


class Installed(Provisioner):
    """The real provisioner, but for the installing.

    Args:
        root: Where environments would be.
        toolchains: The declared ones, by name.
        overrides: Lock files that a recipe puts in place of the toolchains' own.
        drifted: Packages that are in an environment beside what its lock says, by its name.
        interpreter: What environments were made with.
    """

    def __init__(
        self,
        root: Path,
        toolchains: Mapping[str, Toolchain],
        overrides: Mapping[str, Path],
        drifted: Mapping[str, str],
        interpreter: Interpreter,
    ) -> None:
        super().__init__(root, toolchains, overrides, environ={})
        self._drifted = drifted
        self._interpreter = interpreter

    def installed(self, name: str) -> Fingerprint:
        """What the lock says."""
        lock = self.evidence(name)[0]
        return self._of(name, _pins(lock.read_text()))

    def installed_requirements(self, file: Path) -> Fingerprint:
        """What the file says, and the files that it includes."""
        texts = [each.read_text() for each in self.evidence_requirements(file)[:-2]]
        return self._of(REQUIREMENTS, tuple("\n".join(texts).split("\n")))

    def host_fingerprint(self) -> Fingerprint:
        """An interpreter with numpy."""
        return self._of(HOST, ("numpy==2.0.0",))

    def _of(self, name: str, packages: tuple[str, ...]) -> Fingerprint:
        extra = [self._drifted[name]] if name in self._drifted else []
        return Fingerprint.of(self._interpreter, [*packages, *extra])


@cache
def _pins(text: str) -> tuple[str, ...]:
    return tuple(pin.requirement for pin in parse(text))
