"""Environments that are installed as soon as they are asked for: what their locks say, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from buildsys.toolchains import Provisioner
from buildsys.toolchains.fingerprint import Fingerprint, Interpreter
from buildsys.toolchains.lockfile import parse

INTERPRETER = Interpreter("3.11.7", "CPython", "Linux", "x86_64")
HOST, REQUIREMENTS = "host", "requirements"


class Installed(Provisioner):
    """The real provisioner, but for the installing.

    Args:
        drifted: Packages that are in an environment beside what its lock says, by its name.
    """

    def __init__(self, *given: Any, drifted: Mapping[str, str], **named: Any) -> None:
        super().__init__(*given, **named)
        self._drifted = drifted

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

    def ensure(self, name: str, on_progress: Callable[[str], None] = print) -> Fingerprint:
        """It is there."""
        raise AssertionError(f"{name} was to be installed")

    def _of(self, name: str, packages: tuple[str, ...]) -> Fingerprint:
        extra = [self._drifted[name]] if name in self._drifted else []
        return Fingerprint.of(INTERPRETER, [*packages, *extra])


@cache
def _pins(text: str) -> tuple[str, ...]:
    return tuple(pin.requirement for pin in parse(text))
