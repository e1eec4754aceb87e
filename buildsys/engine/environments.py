"""Where workers run: toolchains, the host's own interpreter, a model's requirements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from buildsys.toolchains import Fingerprint, Provisioner
from buildsys.toolchains.environments.environment import Look
from buildsys.toolchains.inside.imported import PYTHON

REQUIREMENTS = "requirements:"


class Environments:
    """One face for the three kinds of environment that an action can name."""

    def __init__(self, provisioner: Provisioner) -> None:
        self._provisioner = provisioner
        self._known: dict[str, Fingerprint] = {}
        self._altered: dict[str, str] = {}

    def fingerprint(self, environment: str) -> str | None:
        """The digest of what is installed, or `None` where the environment is still to be made."""
        found = self._found(environment)
        return found.digest if found is not None else None

    def versions(self, environment: str) -> Mapping[str, str]:
        """Name to version of what is installed, as the fingerprint says it, and of `python`.

        Empty where there is no fingerprint.
        """
        found = self._found(environment)
        if found is None:
            return {}
        rows = (each.rpartition("==") for each in found.installed)
        return {name: version for name, _, version in rows} | {PYTHON: found.python}

    def altered(self, environment: str) -> str | None:
        """How an environment differs from what was put into it; `None` where it does not."""
        self._found(environment)
        return self._altered.get(environment)

    def _found(self, environment: str) -> Fingerprint | None:
        if environment in self._known:
            return self._known[environment]
        if environment in self._altered:
            return None
        found: Fingerprint | None
        if environment == "host":
            found = self._provisioner.host_fingerprint()
        elif environment.startswith(REQUIREMENTS):
            found = self._provisioner.installed_requirements(self._file(environment))
        else:
            found = self._provisioner.installed(environment)
        if found is not None:
            self._known[environment] = found
        elif altered := self._look(environment).altered:
            self._altered[environment] = "; ".join(altered)
        return found

    def _look(self, environment: str) -> Look:
        if environment.startswith(REQUIREMENTS):
            return self._provisioner.look_requirements(self._file(environment))
        return self._provisioner.look(environment)

    def ensure(self, environment: str, on_progress: Callable[[str], None]) -> None:
        """Makes the environment where it is missing or altered.

        Raises:
            ToolchainError: It cannot be made.
        """
        try:
            if environment.startswith(REQUIREMENTS):
                self._provisioner.ensure_requirements(self._file(environment), on_progress)
            elif environment != "host":
                self._provisioner.ensure(environment, on_progress)
        finally:
            # At the end: others may have looked, from other threads, until it was taken away.
            self._altered.pop(environment, None)

    def stop(self) -> None:
        """Kills what is making environments, and makes no more."""
        self._provisioner.stop()

    def python(self, environment: str) -> Path:
        """The interpreter that workers are started with."""
        if environment == "host":
            return Path(sys.executable)
        if environment.startswith(REQUIREMENTS):
            return self._provisioner.python_requirements(self._file(environment))
        return self._provisioner.python(environment)

    def lock(self, environment: str) -> str | None:
        """The digest of the lock behind a toolchain; `None` for other environments."""
        if environment == "host" or environment.startswith(REQUIREMENTS):
            return None
        return self._provisioner.lock_digest(environment)

    def evidence(self, environment: str) -> list[Path]:
        """Files whose change may change an environment's fingerprint."""
        if environment == "host":
            return []  # The folders of `sys.path`: everybody who asks looks at those anyway.
        if environment.startswith(REQUIREMENTS):
            return self._provisioner.evidence_requirements(self._file(environment))
        return self._provisioner.evidence(environment)

    @staticmethod
    def _file(environment: str) -> Path:
        return Path(environment.removeprefix(REQUIREMENTS))
