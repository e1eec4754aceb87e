"""One store, opened: what of a graph is stale there. Knows nothing of recipes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from buildsys.backends.kit.run.machine import machine_name
from buildsys.engine.environments import Environments
from buildsys.engine.run import Run
from buildsys.engine.staleness.implementation import HOST, Implementations
from buildsys.engine.staleness.walk import Walk, roots
from buildsys.planner.graph import ActionGraph, Deployable
from buildsys.store import DamagedIndex, Index, Memo, Store

if TYPE_CHECKING:
    from buildsys.engine.executors.executor import Executor
    from buildsys.engine.scheduling.messages import Threads

Result = TypeVar("Result")


@dataclass(frozen=True)
class Project:
    """What is built.

    Attributes:
        name: Under which history is kept.
        folder: Where its own code runs, and what discovered paths are relative to.
        recipe: The recipe's path relative to `artifacts`: several may share that folder.
        artifacts: Where artifacts go.
    """

    name: str
    folder: Path
    recipe: str
    artifacts: Path


class Engine:
    """One store, opened; a context manager that closes its index.

    Attributes:
        root: The store's folder.
        store: Its files.
        index: What it knows of them.
        memo: Digests of files on disk.
        looked: The last walk that was made.
        executor: Runs actions; `None` for worker processes on this machine.
        threads: Makes the threads of a build, given how many there are at most; `None` for the usual ones.

    Args:
        root: The store's folder.
        environments: Where workers run.
        executor: Runs actions; worker processes on this machine by default.
        threads: Makes the threads of a build, given how many there are at most.
        salt: Mixed into every key, to force a build of its own.
    """

    def __init__(
        self,
        root: Path,
        environments: Environments,
        *,
        executor: Executor | None = None,
        threads: Callable[[int], Threads] | None = None,
        salt: str = "",
    ) -> None:
        self.root = root
        self.store = Store(root)
        self.environments = environments
        self.looked: Walk | None = None
        self.executor = executor
        self.threads = threads
        self._salt = salt

    def __enter__(self) -> Engine:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.index.close()

    def _open(self) -> None:
        self.index = Index(self.root)
        self.memo = Memo(self.index)
        self.implementations = Implementations(self.memo, self.index)

    def save(self) -> None:
        """Writes down what was learnt of files: their digests, and what source files need."""
        self.memo.save()
        self.implementations.save()

    def mended(self, do: Callable[[], Result], on_damage: Callable[[str], None]) -> Result:
        """Does something with the index; once more where it turns out to be damaged.

        What a damaged index knew is found out again, so it has been set aside by then.
        """
        said = "the store's index was damaged and is rebuilt"
        try:
            if self.index.damage is not None:
                on_damage(f"{said} ({self.index.damage})")
                self.index.damage = None
            return do()
        except DamagedIndex as error:
            on_damage(f"{said} ({error})")
            self._open()
            return do()

    @property
    def slots(self) -> int:
        """How many actions run at a time by default."""
        return self.executor.capacity().slots if self.executor else os.cpu_count() or 1

    def machine(self) -> str:
        """What the machine is called that times are measured on."""
        return self.executor.machine() if self.executor else machine_name()

    def walk(self, graph: ActionGraph, project: Project) -> Walk:
        """A look at a graph as things are now."""
        self.memo.load(project.folder, project.artifacts, HOST)
        self.looked = Walk(
            graph,
            project.name,
            project.folder,
            self.store,
            self.index,
            self.memo,
            self.environments,
            self.implementations,
            self.machine,
            salt=self._salt,
        )
        return self.looked


def needed(deployable: Deployable, run: Run) -> set[str]:
    """Digests of all that the actions gave whose files a verdict needs."""
    return {
        stored.digest
        for name in roots([deployable])
        if (trace := run.trace(name)) is not None
        for stored in trace.outputs.values()
    }
