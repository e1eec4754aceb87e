"""What the coordinator needs of whatever runs actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from buildsys.engine.executors.job import Job, Outcome


class Executor(Protocol):
    """Runs actions; called from several threads."""

    processes_started: int

    def run(self, job: Job) -> Outcome:
        """Does a step and puts what it made into the store."""
        ...

    def prepare(self, job: Job, done: Callable[[], None]) -> None:
        """Makes an environment ready for a step that will come up, and calls `done`, at some time."""
        ...

    def stop(self) -> None:
        """Kills what is running."""
        ...

    def retire(self, environment: str) -> None:
        """Says that no further action needs an environment."""
        ...

    def close(self) -> None:
        """Ends whatever is kept running between actions."""
        ...
