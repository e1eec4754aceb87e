"""Rounds of two artifacts in turns, and what is told of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import Request
from buildsys.backends.kit.run import benchmark, measurement

SETTINGS = {"threads": 1, "warmup": 1, "runs": 12, "batch": 1, "starts": 1}
PORT = {"name": "x", "shape": ["N", 2], "dims": {"N": {"min": 1, "max": 8, "example": 1}}}


class Clock:
    """Stands for `time`: it goes on by what is run alone, and by an instant whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now


class Subject:
    """Takes so long, and longer where the machine is busy; writes down who ran."""

    runtime = "fake"

    def __init__(self, name: str, seconds: float, ran: list[str], clock: Clock, busy: Any) -> None:
        self._name, self._seconds, self._ran = name, seconds, ran
        self._clock, self._busy = clock, busy

    def run(self, feed: Any) -> dict[str, Any]:
        self._ran.append(self._name)
        self._clock.now += self._seconds * next(self._busy)
        return {}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (benchmark, measurement):
        monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    arrays.save(tmp_path / "samples.npz", {"x": np.arange(6.0).reshape(3, 2)})
    options = {"ports": [PORT], "dynamic": True, "benchmark": SETTINGS}
    return Request({"samples": tmp_path / "samples.npz"}, {}, options, tmp_path)


def turns(request: Request, clock: Clock, busy: Any = None) -> tuple[list[str], Any, Any]:
    ran: list[str] = []
    busy = busy or itertools.repeat(1.0)
    sessions = [Subject("a", 0.003, ran, clock, busy), Subject("f", 0.006, ran, clock, busy)]
    seconds, rounds = benchmark._in_turns(sessions, [{}, {}], SETTINGS, request)
    return ran, seconds, rounds


def test_each_comes_second_as_often(request_: Request, clock: Clock) -> None:
    ran, seconds, rounds = turns(request_, clock)
    assert "".join(ran) == "af" + "affa" * 6
    assert rounds.shape == (12, 2)
    assert [len(each) for each in seconds] == [12, 12]


def test_a_machine_that_becomes_busy_does_not_change_the_ratio(
    request_: Request, clock: Clock
) -> None:
    """Five times slower from the middle on; in the round when that begins it meets one of the two."""
    busy = itertools.chain([1.0] * 13, itertools.repeat(5.0))
    _, seconds, rounds = turns(request_, clock, busy)
    found: Any = benchmark._against(rounds, seconds[1], alike=True)
    assert (rounds[:, 0] / rounds[:, 1]).max() > 2
    assert found["low"] == pytest.approx(0.5, rel=1e-3)
    assert found["high"] == pytest.approx(0.5, rel=1e-3)
    assert found["rounds"] == 12
    assert benchmark.latency(seconds[0], rounds[:, 0])["p99"] > 12


def test_a_fast_artifact_is_run_more_than_once_a_round(clock: Clock) -> None:
    seconds: list[float] = []
    subject = Subject("a", 0.0005, [], clock, itertools.count(1))
    assert measurement.run_round(subject, {}, seconds) == pytest.approx(0.001, rel=0.01)
    assert seconds == pytest.approx([0.0005, 0.001, 0.0015], rel=0.01)


def test_rounds_that_are_cut_short_are_told(
    request_: Request, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "FEWEST_ROUNDS", 2)
    monkeypatch.setattr(benchmark, "SECONDS", 0.0)
    _, _, rounds = turns(request_, clock)
    assert len(rounds) == 2
    assert request_.notes == ["benchmarked in 2 rounds and not in 12: they took 0 seconds"]


@pytest.mark.parametrize(("shape", "size"), [(["N", 2], 5), ([1, 2], 1), ([4, 2], 4)])
def test_a_batch_is_of_the_first_samples(request_: Request, shape: list[Any], size: int) -> None:
    contract = Contract([Port("x", shape, "float32")], [])
    feed, got = benchmark._fed(request_, contract, 5)
    assert got == size
    assert feed["x"].tolist() == [[2.0 * (i % 3), 2.0 * (i % 3) + 1] for i in range(size)]


def test_a_model_that_knows_no_batch_takes_one_sample(request_: Request) -> None:
    request_.options["ports"] = [PORT | {"shape": [2], "dims": {}}]
    feed, size = benchmark._fed(request_, Contract([Port("x", [2], "float32")], []), 5)
    assert size == 1
    assert feed["x"].tolist() == [0.0, 1.0]
