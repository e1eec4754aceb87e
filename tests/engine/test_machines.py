"""Two machines share one store: what was timed on one of them judges nothing on the other."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from buildsys.backends.kit.run.machine import machine_name
from buildsys.cli.answer import recalling
from buildsys.engine.executors import LocalExecutor
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.engine.staleness.explain import explanations
from buildsys.engine.staleness.walk import State
from buildsys.store import Store
from tests.cli.inside import Inside
from tests.space import Space, statuses

HALF = "android/m.tflite-half"
BENCHMARK = "tflite.benchmark"


class On(LocalExecutor):
    """The executor of a machine with a name."""

    def __init__(self, space: Space, name: str) -> None:
        super().__init__(Store(space.store))
        self._name = name

    def machine(self) -> str:
        return self._name


@pytest.fixture
def timed(space: Space) -> Space:
    """A project with a bound on latency."""
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", "{signal_error: 1.0e-3, latency_ratio: 50}")
    space.edit(
        "deploy.yaml",
        "    environment: host\n",
        "    environment: host\n    benchmark: {runs: 6, starts: 1}\n",
    )
    return space


def built(space: Space, name: str) -> Build:
    executor = On(space, name)
    try:
        with space.session(executor=executor) as session:
            return session.build([HALF], settings=Settings(jobs=2, timeout=60))
    finally:
        executor.close()


def ratio(build: Build) -> Any:
    (gate,) = [each for each in build.verdicts[0].gates if each.bound == "latency_ratio"]
    return gate.value


def test_a_bound_on_latency_is_judged_by_this_machine_s_benchmark(timed: Space) -> None:
    first = built(timed, "slow")
    assert statuses(first) == {HALF: "verified"}
    # Nothing else is timed for a gate: it converts and measures nothing again.
    second = built(timed, "fast")
    assert dict(timed.ran(second)) == {BENCHMARK: 1}
    again = built(timed, "slow")
    assert again.run.executed == []
    assert ratio(again) == ratio(first)
    assert built(timed, "fast").run.executed == []


def test_a_plan_and_why_name_the_machines(timed: Space) -> None:
    built(timed, "slow")
    executor = On(timed, "fast")
    with timed.session(executor=executor) as session:
        graph = session.graph([HALF])
        walk = session.engine.walk(graph, session.project())
        stale = [n for n, s in walk.states().items() if s.state is not State.HIT]
        (found,) = explanations(session.recipe, graph, walk)
    executor.close()
    assert [graph.actions[name].rule for name in stale] == [BENCHMARK]
    texts = [reason.text for link in found.chain for reason in link.changes]
    assert texts == ["measured on another machine (slow → fast)"]


def test_what_no_bound_judges_serves_every_machine(space: Space) -> None:
    """Its record names the machine that it was measured on, and the report says so."""
    assert statuses(built(space, "slow")) == {HALF: "verified"}
    second = built(space, "fast")
    assert second.run.executed == []
    measurement = second.verdicts[0].measurement
    assert measurement is not None
    assert measurement.machine == machine_name()


def test_a_benchmark_names_the_machine_as_its_key_does(timed: Space) -> None:
    with timed.session() as session:
        build = session.build([HALF], settings=Settings(jobs=2, timeout=60))
    (key,) = [
        standing.manifest["machine"]
        for name, standing in build.run.standings.items()
        if build.graph.actions[name].rule == BENCHMARK
    ]
    found = build.verdicts[0].benchmark
    assert found is not None
    assert key == found.machine == machine_name()


@pytest.mark.skipif(sys.platform != "linux", reason="the processor's name is read from /proc")
def test_the_processor_has_a_name() -> None:
    assert machine_name().endswith(" cores")


def test_an_answer_that_was_kept_is_not_another_machine_s(
    timed: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modelbuild = Inside(timed, monkeypatch, capsys)
    command = ["build", HALF]
    modelbuild.until_answered(*command)
    assert recalling.recall(command) is not None
    monkeypatch.setattr("buildsys.backends.kit.run.machine.machine_name", lambda: "another")
    assert recalling.recall(command) is None
