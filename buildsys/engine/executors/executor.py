"""What the coordinator needs of whatever runs actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from buildsys.engine.executors.job import Job, JobSpec, Outcome


@dataclass(frozen=True)
class Capacity:
    """What an executor has room for, all of its machines together.

    Attributes:
        slots: Actions of one thread that it runs at a time without slowing any of them down.
        memory: Bytes that they may take together.
        resources: How many there are of each named resource, for example `gpu`.
    """

    slots: int
    memory: int
    resources: Mapping[str, int] = field(default_factory=dict)


class Executor(Protocol):
    """Runs actions; called from several threads."""

    processes_started: int

    def capacity(self) -> Capacity:
        """How much it can run at a time. A build asks once, before its first action."""
        ...

    def machine(self) -> str:
        """What the machine is called that times are measured on. Machines that are alike share a name."""
        ...

    def run(self, job: Job) -> Outcome:
        """Does a step and puts what it made into the store."""
        ...

    def prepare(self, spec: JobSpec, done: Callable[[], None]) -> None:
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
