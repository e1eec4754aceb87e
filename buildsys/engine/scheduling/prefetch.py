"""Has environments import what they will need, while part of the machine has nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from buildsys.engine.executors.executor import Executor
from buildsys.engine.executors.job import JobSpec
from buildsys.engine.scheduling.messages import Prefetched, Threads
from buildsys.engine.scheduling.states import ActionState, ActionTable
from buildsys.engine.scheduling.toolchain_setup import ToolchainSetup
from buildsys.engine.staleness.walk import Walk
from buildsys.planner.graph import Action


class Prefetch:
    """Which environments of a build are warm, and which one to warm next.

    Args:
        table: The build's actions.
        walk: Knows which of them are sure to run.
        setup: Knows which environments are made.
        executor: Imports.
        threads: Are told when it has.
        jobs: How many actions may run at a time.
    """

    def __init__(
        self,
        table: ActionTable,
        walk: Walk,
        setup: ToolchainSetup,
        executor: Executor,
        threads: Threads,
        jobs: int,
    ) -> None:
        self._table = table
        self._walk = walk
        self._setup = setup
        self._executor = executor
        self._threads = threads
        self._jobs = jobs
        self._importing: set[str] = set()
        self._warm: set[str] = set()
        self._considered: set[str] = set()

    def warmed(self, environment: str | None) -> None:
        """An environment has imported what its steps need."""
        if environment is not None:
            self._importing.discard(environment)
            self._warm.add(environment)

    def next_job(self, remaining: Mapping[str, float]) -> Action | None:
        """The step to import for, if part of the machine has nothing to do.

        Only steps that are sure to run count, since nothing like them was ever run here.

        Args:
            remaining: By action, the seconds from its start to the end of the build.
        """
        running = [n.action.environment for n in self._table.in_state(ActionState.RUNNING)]
        # Those that wait for one import keep one core busy.
        busy = len({e for e in running if e not in self._warm})
        busy += sum(e in self._warm for e in running) + len(self._importing)
        if not running or busy >= self._jobs:
            return None
        self._considered.update(e for e in running if e is not None)
        best: Action | None = None
        for environment in [e for e in self._table.environments if e not in self._considered]:
            made = self._setup.is_made(environment)
            action = self._most_urgent(environment, remaining) if made else None
            if action is None:
                self._considered.add(environment)
            elif best is None or remaining[action.id] > remaining[best.id]:
                best = action
        return best

    def start(self, spec: JobSpec) -> None:
        """Has the environment of a step import what the step needs."""
        environment = spec.environment
        assert environment is not None
        self._considered.add(environment)
        self._importing.add(environment)
        self._executor.prepare(spec, partial(self._threads.post, Prefetched(environment)))

    def _most_urgent(self, environment: str, remaining: Mapping[str, float]) -> Action | None:
        found = [
            node.action
            for node in self._table
            if node.action.environment == environment
            and node.undecided
            and not node.decided
            and self._walk.is_new(node.action)
        ]
        return max(found, key=lambda action: remaining[action.id], default=None)
