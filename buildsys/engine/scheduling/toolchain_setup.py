"""Makes the environments that actions wait for, each once, beside whatever else is running."""

from __future__ import annotations

from collections.abc import Callable

from buildsys.engine.environments import Environments
from buildsys.engine.scheduling.messages import EnvironmentMade, Threads
from buildsys.engine.scheduling.reporting import Reporter
from buildsys.toolchains import ToolchainError


class ToolchainSetup:
    """The environments of one build.

    Attributes:
        error: The first environment that could not be made.

    Args:
        environments: Where workers run.
        threads: Do the work.
        report: Tells the user.
        retries: How often an environment is tried again.
    """

    def __init__(
        self, environments: Environments, threads: Threads, report: Reporter, retries: int
    ) -> None:
        self.error: ToolchainError | None = None
        self._environments = environments
        self._threads = threads
        self._report = report
        self._retries = retries
        self._making: set[str] = set()
        self._tries: dict[str, int] = {}
        self._broken: dict[str, str] = {}

    @property
    def busy(self) -> bool:
        """Whether an environment is being made."""
        return bool(self._making)

    def is_made(self, environment: str) -> bool:
        """Whether an environment can be used."""
        return self._environments.fingerprint(environment) is not None

    def broken(self, environment: str | None) -> str | None:
        """Why an environment could not be made; `None` where nothing is known against it."""
        return self._broken.get(environment) if environment is not None else None

    def start(self, environment: str) -> None:
        """Has an environment made; nothing where that goes on already."""
        if environment in self._making:
            return
        self._making.add(environment)
        altered = self._environments.altered(environment)
        if altered is not None:
            self._report.warning(
                f"toolchain {environment} was altered ({altered}); reinstalling it"
            )

        def make() -> EnvironmentMade:
            try:
                self._environments.ensure(environment, self._said(environment))
            except BaseException as error:
                return EnvironmentMade(environment, error)
            return EnvironmentMade(environment, None)

        self._threads.submit(make)

    def _said(self, environment: str) -> Callable[[str], None]:
        return lambda line: self._report.toolchain(environment, line)

    def ended(self, message: EnvironmentMade) -> None:
        """Takes in what became of an environment: made, to be tried again, or broken.

        Raises:
            BaseException: Whatever was no fault of the environment.
        """
        environment, error = message.environment, message.error
        self._making.discard(environment)
        if error is None and not self.is_made(environment):
            error = ToolchainError(environment, "it was made, and is not there", None)
        if error is None:
            self._report.toolchain(environment, "ready", done=True)
        elif not isinstance(error, ToolchainError):
            raise error
        elif self._tries.setdefault(environment, 0) < self._retries:
            self._tries[environment] += 1
            self._report.warning(f"toolchain {environment} is tried again: {error}")
        else:
            self.error = self.error or error
            self._broken[environment] = f"toolchain {environment}: {error}"
