"""The generic run of an artifact, with a session in numpy."""

from __future__ import annotations

import ast
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.backends.kit.run import measurement


class Fake:
    runtime = "numpy 1"

    def __init__(self) -> None:
        self.runs = 0

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.runs += 1
        return {"y": feed["x"].sum(axis=1)}


def request(folder: Path, samples: Mapping[str, NDArray[Any]], **more: Path) -> Request:
    arrays.save(folder / "in.npz", samples)
    dims = {"N": {"min": 1, "max": 8, "example": 1}}
    port = {"name": "x", "shape": ["N", 3], "dtype": "float32", "dims": dims, "range": None}
    return Request(
        inputs={"samples": folder / "in.npz", **more},
        outputs={"samples": folder / "out.npz", "run": folder / "run.json"},
        options={
            "ports": [port],
            "outputs": ["y"],
            "dynamic": True,
            "latency": {"warmup": 2, "runs": 7},
        },
        scratch=folder,
        threads=3,
    )


def test_outputs_and_figures_are_written(tmp_path: Path) -> None:
    x = np.ones((5, 3), np.float32)
    fake = Fake()
    measurement.record(fake, request(tmp_path, {"x": x}))
    np.testing.assert_array_equal(arrays.load(tmp_path / "out.npz")["y"], np.full(5, 3))
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["runtime"] == "numpy 1"
    assert run["threads"] == 3
    assert run["latency_ms"]["runs"] >= 7
    assert 0 <= run["latency_ms"]["p50"] <= run["latency_ms"]["p95"]
    assert run["latency_ms"]["low"] <= run["latency_ms"]["p50"] <= run["latency_ms"]["high"]
    assert run["machine"].endswith(f", {os.cpu_count()} cores")
    assert len(run["batch_sizes"]) == 2
    assert run["peak_rss_bytes"] > 1 << 20


def test_labels_of_the_evaluation_are_not_fed(tmp_path: Path) -> None:
    x = np.ones((5, 3), np.float32)
    made = request(tmp_path, {"x": x}, evaluation=tmp_path / "evaluation.npz")
    arrays.save(tmp_path / "evaluation.npz", {"x": x[:2], arrays.LABELS: np.zeros(2)})
    made.outputs["evaluation"] = tmp_path / "evaluated.npz"
    measurement.record(Fake(), made)
    assert arrays.load(tmp_path / "evaluated.npz")["y"].shape == (2,)


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="lack the input `x`"):
        measurement.record(Fake(), request(tmp_path, {"z": np.ones((2, 3))}))


def test_a_slow_artifact_is_timed_fewer_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "LATENCY_SECONDS", 0.0)
    monkeypatch.setattr(measurement, "ROUND_SECONDS", 0.0)
    fake = Fake()
    latency = measurement.measure_latency(fake, {"x": np.ones((1, 3))}, warmup=1, runs=50)
    assert latency["runs"] == measurement.FEWEST_RUNS
    assert fake.runs == measurement.FEWEST_RUNS + 1


def test_a_fast_artifact_is_timed_for_as_long_as_a_machine_has_moods() -> None:
    fake = Fake()
    started = time.perf_counter()
    latency = measurement.measure_latency(fake, {"x": np.ones((1, 3))}, warmup=0, runs=10)
    assert time.perf_counter() - started >= 10 * measurement.ROUND_SECONDS
    assert latency["runs"] == fake.runs > 10


def test_the_median_lies_in_its_interval_as_often_as_promised() -> None:
    """Of draws from a distribution with a long tail, whose median is known."""
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(2000):
        low, high = measurement.median_interval(np.exp(generator.standard_normal(50)))
        missed += not low <= 1.0 <= high
    assert 0.02 < missed / 2000 < 0.05


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # The ranks that tables have; Conover's table A3 and the binomial distribution agree on them.
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15), (50, 18, 33)],
)
def test_the_interval_goes_by_ranks(count: int, low: int, high: int) -> None:
    values = np.random.default_rng(1).permutation(np.arange(1.0, count + 1))
    assert measurement.median_interval(values) == (low, high)


def test_the_interval_takes_many_values() -> None:
    low, high = measurement.median_interval(np.arange(5000.0))
    assert low < 2499.5 < high
    assert high - low < 200


def test_what_runs_in_a_process_of_its_own_is_closed() -> None:
    """Who tells of another process's memory has one to end."""
    folder = Path(measurement.__file__).parents[2]
    sessions = {
        file: {part.name for part in each.body if isinstance(part, ast.FunctionDef)}
        for file in folder.glob("**/*runtime.py")
        for each in ast.parse(file.read_text()).body
        if isinstance(each, ast.ClassDef) and each.name == "Session"
    }
    apart = [file for file, methods in sessions.items() if "peak_rss" in methods]
    assert len(apart) >= 4
    assert [file for file in apart if "close" not in sessions[file]] == []
