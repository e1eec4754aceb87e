"""A build asks its executor what there is room for, and not the machine that it is started on."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from buildsys.engine import building
from buildsys.engine.executors import Job, LocalExecutor, Outcome
from buildsys.engine.executors.executor import Capacity
from buildsys.engine.executors.job import JobSpec
from buildsys.engine.memory import free_memory
from buildsys.engine.run import Run, Settings
from buildsys.store import Store
from tests.space import Space

TIB = 1 << 40


class Told(LocalExecutor):
    """Says that it has what it is told.

    Attributes:
        specs: What it was given.
        most: How many of them ran at once.
    """

    def __init__(self, store: Store, told: Capacity) -> None:
        super().__init__(store)
        self.specs: list[JobSpec] = []
        self.most = 0
        self._told = told
        self._running = 0
        self._lock = threading.Lock()

    def capacity(self) -> Capacity:
        return self._told

    def run(self, job: Job) -> Outcome:
        with self._lock:
            self.specs.append(job.spec)
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return super().run(job)
        finally:
            with self._lock:
                self._running -= 1


def built(
    space: Space, executor: Told, settings: Settings, needs: Mapping[str, int] | None = None
) -> Run:
    """Builds a float artifact on an executor; `needs` is what its conversion needs."""
    with space.session(executor=executor) as session:
        graph = session.graph(["ios/m.onnx"])
        for name, action in graph.actions.items():
            if needs and action.rule == "onnx.export":
                graph.actions[name] = replace(action, resources=needs)
        try:
            run, _ = building.give(
                session.engine, graph, session.project(), settings, lambda _: None
            )
        finally:
            executor.close()
        return run


def test_slots_bound_what_runs_and_threads_are_shared_out(space: Space) -> None:
    one = Told(Store(space.store), Capacity(slots=1, memory=TIB))
    assert not built(space, one, Settings()).failures
    assert one.most == 1
    assert {(each.threads, each.room, each.memory) for each in one.specs} == {(1, TIB, None)}


def test_the_command_line_wins_over_the_executor(space: Space) -> None:
    many = Told(Store(space.store), Capacity(slots=64, memory=TIB))
    assert not built(space, many, Settings(jobs=1, memory=2 * TIB)).failures
    assert many.most == 1
    assert {(each.threads, each.room, each.memory) for each in many.specs} == {
        (64, 2 * TIB, 2 * TIB)
    }


@pytest.mark.parametrize(
    ("has", "says", "runs"),
    [
        ({}, {}, False),
        ({"gpu": 1}, {}, True),
        ({}, {"gpu": 1}, True),
        ({"gpu": 1}, {"gpu": 0}, False),
    ],
)
def test_an_action_runs_where_the_executor_has_what_it_needs(
    space: Space, has: Mapping[str, int], says: Mapping[str, int], runs: bool
) -> None:
    executor = Told(Store(space.store), Capacity(slots=2, memory=TIB, resources=has))
    run = built(space, executor, Settings(resources=says), needs={"gpu": 1})
    assert any(spec.rule == "onnx.export" for spec in executor.specs) is runs
    assert ("needs more `gpu` than this machine has" in run.skipped.values()) is not runs


def test_the_local_executor_has_this_machine(tmp_path: Path) -> None:
    executor = LocalExecutor(Store(tmp_path))
    found = executor.capacity()
    executor.close()
    assert found.slots == os.cpu_count()
    assert 0 < found.memory < 1 << 50
    assert found.resources == {}
    assert 0 < free_memory() < 1 << 50
