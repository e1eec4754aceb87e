"""Benchmarks as actions: who asks for them, what they are run beside, and what is made of the figures."""

from __future__ import annotations

from typing import Any

import pytest

from buildsys.engine.outcome.verdicts import Verdict
from buildsys.recipe.schema.benchmark import Benchmark
from tests.space import Space, statuses

HALF = "android/m.tflite-half"
ASKED = ("    environment: host\n", "    environment: host\n    benchmark: {runs: 6, starts: 1}\n")


def verdict(space: Space, label: str) -> Verdict:
    (found,) = space.build(label).verdicts
    return found


def test_an_artifact_is_run_in_turns_with_the_float_one(space: Space) -> None:
    space.edit("deploy.yaml", *ASKED)
    build = space.build(HALF)
    ran = space.ran(build)
    # The float artifact was made for it, and was neither described nor measured.
    assert (ran["tflite.benchmark"], ran["tflite.convert"], ran["tflite.run"]) == (1, 1, 1)
    assert build.verdicts[0].benchmark is not None
    found: Any = build.verdicts[0].benchmark.record
    assert found["settings"] == {"batch": 1, "runs": 6, "starts": 1, "threads": 1, "warmup": 10}
    beside = found["against_float"]
    assert beside["low"] <= beside["ratio"] <= beside["high"]
    assert beside["rounds"] == 6
    latency = found["latency_ms"]
    assert 0 < latency["low"] <= latency["p50"] <= latency["p95"] <= latency["p99"]
    assert found["throughput"] > 0
    start, memory = found["cold_start_ms"], found["memory_bytes"]
    assert start["total"] == pytest.approx(start["load"] + start["first_run"], abs=0.01)
    assert 1 << 20 < memory["before"] <= memory["peak"]
    assert space.build(HALF).run.executed == []


def test_a_float_artifact_is_run_alone(space: Space) -> None:
    space.edit("deploy.yaml", *ASKED)
    found = verdict(space, "android/m.tflite").benchmark
    assert found is not None
    assert found.against_float is None
    assert verdict(space, "ios/m.coreml").benchmark is None  # Nothing runs it here.


def test_nobody_asks(space: Space) -> None:
    build = space.build()
    assert space.ran(build)["tflite.benchmark"] == 0
    assert {v.benchmark for v in build.verdicts} == {None}


def test_a_bound_on_latency_asks_for_it_and_is_judged_by_it(space: Space) -> None:
    """Its baseline is not measured by itself: two figures of two moments say little."""
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", "{signal_error: 1.0e-3, latency_ratio: 50}")
    space.edit("deploy.yaml", ASKED[0], ASKED[1].replace("{", "{batch: 4, "))
    build = space.build(HALF)
    assert space.ran(build)["tflite.run"] == 1
    (gate,) = [g for g in build.verdicts[0].gates if g.bound == "latency_ratio"]
    found = build.verdicts[0].benchmark
    assert found is not None
    assert found.against_float is not None
    assert gate.value == found.against_float.ratio
    assert str(gate.reason).endswith("in 6 rounds")
    space.edit("deploy.yaml", "latency_ratio: 50", "latency_ratio: 0.001")
    again = space.build(HALF)
    assert again.run.executed == []
    assert statuses(again) == {HALF: "rejected"}


def test_settings_are_inputs_of_benchmarks_alone(space: Space) -> None:
    space.edit("deploy.yaml", *ASKED)
    space.build(HALF)
    space.edit("deploy.yaml", "runs: 6", "runs: 5")
    assert dict(space.ran(space.build(HALF))) == {"tflite.benchmark": 1}


def test_a_batch_that_the_model_does_not_take(space: Space) -> None:
    space.edit("deploy.yaml", ASKED[0], ASKED[1].replace("{", "{batch: 9, "))
    build = space.build("android/m.tflite")
    (failed,) = build.run.failures.values()
    assert failed.message == "the model takes no batch of 9: `N` goes from 1 to 8"
    assert failed.field == "benchmark.batch"


def test_a_bound_alone_asks_with_the_default_settings(space: Space) -> None:
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", "{signal_error: 1.0e-3, latency_ratio: 50}")
    actions = space.plan(HALF).action_graph.actions.values()
    (timed,) = [action for action in actions if action.rule == "tflite.benchmark"]
    assert timed.options["benchmark"] == Benchmark().model_dump()
    assert "float_artifact" in timed.inputs


@pytest.mark.parametrize("bounds", ["{size_ratio: 9}", "{max_size_ratio: 9}"])
def test_bounds_on_size_alone_leave_the_default_bounds_on_errors(space: Space, bounds: str) -> None:
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", bounds)
    found = verdict(space, HALF)
    held = {gate.bound: gate.limit for gate in found.gates}
    assert held["signal_error"] == 2e-2
    assert held.get("size_ratio") == (9.0 if "max" not in bounds else None)
    assert found.deployable.limits.default
