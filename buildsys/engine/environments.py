"""Where workers run: toolchains, the host's own interpreter, a model's requirements."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from buildsys.toolchains import Provisioner

REQUIREMENTS = "requirements:"


class Environments:
    """One face for the three kinds of environment that an action can name."""

    def __init__(self, provisioner: Provisioner) -> None:
        self._provisioner = provisioner
        self._known: dict[str, str] = {}

    def fingerprint(self, environment: str) -> str | None:
        """The digest of what is installed, or `None` where the environment is still to be made."""
        if environment in self._known:
            return self._known[environment]
        if environment == "host":
            found = self._provisioner.host_fingerprint()
        elif environment.startswith(REQUIREMENTS):
            maybe = self._provisioner.installed_requirements(self._file(environment))
            if maybe is None:
                return None
            found = maybe
        else:
            maybe = self._provisioner.installed(environment)
            if maybe is None:
                return None
            found = maybe
        self._known[environment] = found.digest
        return found.digest

    def ensure(self, environment: str, on_progress: Callable[[str], None]) -> None:
        """Makes the environment where it is missing.

        Raises:
            ToolchainError: It cannot be made.
        """
        if environment.startswith(REQUIREMENTS):
            self._provisioner.ensure_requirements(self._file(environment), on_progress)
        elif environment != "host":
            self._provisioner.ensure(environment, on_progress)

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
