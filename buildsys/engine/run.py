"""How to run an action graph, and what happened to one that was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from buildsys.engine.staleness.walk import Standing
from buildsys.store import Trace

if TYPE_CHECKING:
    from buildsys.engine.executors import Failed
    from buildsys.toolchains import ToolchainError


@dataclass
class Settings:
    """How to run.

    Attributes:
        jobs: How many actions may run at a time; `None` for as many as the executor has slots.
        max_failures: How many steps may fail before nothing new is started; `None` for no limit.
        timeout: Seconds after which an action is killed.
        retries: How often a step is tried again when its environment failed, not the step.
        memory: Bytes that running actions may take together, and that none may exceed alone; `None`
            for what the executor has, and no limit for one alone.
        resources: How many there are of each named resource, besides what the executor says or
            instead.
    """

    jobs: int | None = None
    max_failures: int | None = 1
    timeout: float = 3600.0
    retries: int = 0
    memory: int | None = None
    resources: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """What happened to a graph.

    Attributes:
        standings: By action id; a hit or a finished action has a trace.
        failures: By action id.
        skipped: Actions that were not reached, with the reason.
        executed: Ids of the actions that ran to an end, well or not, in order.
        logs: Logs of what ran.
        environment_error: A toolchain that could not be made.
    """

    standings: dict[str, Standing] = field(default_factory=dict)
    failures: dict[str, Failed] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    logs: dict[str, Path] = field(default_factory=dict)
    environment_error: ToolchainError | None = None

    def trace(self, action: str) -> Trace | None:
        """The trace of an action, if it finished."""
        standing = self.standings.get(action)
        return standing.trace if standing else None
