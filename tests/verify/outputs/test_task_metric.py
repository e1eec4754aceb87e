"""The drop of a metric: which way it goes, what it is worth, and what is said of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.figures.json_form import read
from buildsys.figures.measurement import Measurement, Metric
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.judgment.limits import Limits
from buildsys.verify.outputs.task_metric import evaluation
from buildsys.verify.wording import chance, drop

ROWS = 400
LABELS = np.random.default_rng(0).integers(0, 5, ROWS)
RIGHT = np.eye(5)[LABELS]


def wrong_at(count: int, start: int = 0) -> NDArray[Any]:
    """Scores that are right but for some rows."""
    scores = RIGHT.copy()
    scores[start : start + count] = np.roll(scores[start : start + count], 1, axis=1)
    return scores


def record(folder: Path, name: str, got: Any, reference: Any, labels: Any = LABELS) -> Any:
    data = arrays.with_labels({"x": np.zeros((len(got), 1))}, labels)
    arrays.save(folder / "data.npz", data)
    arrays.save(folder / "got.npz", {"y": got})
    arrays.save(folder / "reference.npz", {"y": reference})
    inputs = {
        "evaluation": folder / "data.npz",
        "got_evaluation": folder / "got.npz",
        "reference_evaluation": folder / "reference.npz",
    }
    return evaluation(Request(inputs, {}, {"metric": name}, folder), ["y"])


def test_the_same_rows_wrong_tell_more_than_other_rows_wrong(tmp_path: Path) -> None:
    """Both models have 20 rows wrong: the same ones, or others."""
    alike = record(tmp_path, "top1", wrong_at(20), wrong_at(20))
    apart = record(tmp_path, "top1", wrong_at(20), wrong_at(20, 100))
    assert alike["drop"] == apart["drop"] == 0
    assert alike["high"] < apart["high"] / 4


@pytest.mark.parametrize(("lost", "sure"), [(2, False), (12, True)])
def test_whether_a_drop_can_be_told_from_zero(tmp_path: Path, lost: int, sure: bool) -> None:
    found = record(tmp_path, "top1", wrong_at(20 + lost), wrong_at(20))
    assert found["drop"] == pytest.approx(lost / ROWS)
    assert found["low"] < found["drop"] < found["high"]
    assert found["distinguishable"] is sure
    assert found["method"] == "bonett-price"


def test_a_gain_that_is_sure_is_a_drop_below_zero(tmp_path: Path) -> None:
    found = record(tmp_path, "top1", RIGHT, wrong_at(40))
    assert found["high"] < 0
    assert found["distinguishable"] is True


@pytest.mark.parametrize("name", ["f1", "mse", "mae"])
def test_other_metrics_are_drawn_anew(tmp_path: Path, name: str) -> None:
    labels = LABELS if name == "f1" else RIGHT
    noise = np.random.default_rng(1).standard_normal((ROWS, 5))
    worse = wrong_at(30) if name == "f1" else RIGHT + 0.11 * noise
    found = record(
        tmp_path, name, worse, wrong_at(5) if name == "f1" else RIGHT + 0.1 * noise, labels
    )
    assert found["method"] == "bootstrap"
    assert 0 < found["low"] < found["drop"] < found["high"]
    assert found["distinguishable"] is True
    assert record(tmp_path, name, worse, worse, labels)["high"] == 0


def test_a_bootstrap_of_outcomes_agrees_with_the_formula(tmp_path: Path) -> None:
    """Two places in a row are judged together: the row is what is drawn."""
    one = record(tmp_path, "top1", wrong_at(30), wrong_at(10))
    got, reference = (np.stack([rows, rows], axis=1) for rows in (wrong_at(30), wrong_at(10)))
    two = record(tmp_path, "top1", got, reference, np.stack([LABELS, LABELS], axis=1))
    assert two["method"] == "bootstrap"
    assert (two["low"], two["high"]) == pytest.approx((one["low"], one["high"]), abs=0.01)


def test_a_metric_that_is_no_number_has_no_interval(tmp_path: Path) -> None:
    broken = RIGHT.copy()
    broken[3, 3] = math.nan
    found = record(tmp_path, "mse", broken, RIGHT, RIGHT)
    assert math.isnan(found["value"])
    assert "low" not in found


def test_a_built_in_metric_takes_one_array_of_labels(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="takes one array of labels, the dataset has 2"):
        record(tmp_path, "top1", RIGHT, RIGHT, {"boxes": LABELS, "classes": LABELS})


def gate(metric: dict[str, Any], limit: float, **more: Any) -> list[Gate]:
    measured = {"outputs": {}, "metric": metric}
    limits = Limits({"metric_drop": limit}, **more)
    judged = judge(
        Measurement.of(measured), limits, bytes=1, baseline_bytes=None, latency_ratio=None
    )
    return [each for each in judged if each.bound == "metric_drop"]


def drawn(name: str, value: float, reference: float, low: float, high: float) -> dict[str, Any]:
    lower = name in ("mse", "mae")
    return {
        "name": name,
        "value": value,
        "reference": reference,
        "count": 360,
        "drop": value - reference if lower else reference - value,
        "low": low,
        "high": high,
        "method": "bootstrap",
        "distinguishable": low > 0 or high < 0,
    }


def test_what_a_gate_says_of_chance() -> None:
    metric = drawn("top1", 0.967, 0.97, -0.002, 0.008)
    (kept,) = gate(metric, 0.01)
    assert kept.passed
    said = "0.30 points, 95 %: -0.20 to 0.80: 360 samples cannot tell it from zero"
    assert kept.reason == said
    (beyond,) = gate(metric, 0.001)
    assert not beyond.passed
    assert beyond.reason == said + "; more data would decide, as the bound lies within"
    (sure,) = gate(drawn("top1", 0.9, 0.97, 0.04, 0.1), 0.03)
    assert sure.reason == "7.00 points, 95 %: 4.00 to 10.00"
    assert chance(read(Metric, metric))
    assert not chance(read(Metric, drawn("top1", 0.9, 0.97, 0.04, 0.1)))
    assert not chance(
        read(Metric, drawn("top1", 0.97, 0.97, -0.01, 0.01))
    )  # There is no drop to speak of.
    assert drop(read(Metric, drawn("mse", 0.2, 0.1, 0.05, 0.15))) == "95 %: 0.05 to 0.15"


def test_a_default_is_a_part_of_what_has_no_scale() -> None:
    """5 points of a share; 5 % of an error, and of a metric of the project's own."""
    assert gate(drawn("top1", 0.36, 0.4, 0.01, 0.07), 0.05, relative=True)[0].passed
    (error,) = gate(drawn("mse", 0.43, 0.4, 0.01, 0.05), 0.05, relative=True)
    assert error.limit == pytest.approx(0.02)
    assert not error.passed
    assert str(error.reason).startswith("the bound is 5 % of the original's 0.4; 95 %")
    assert gate(drawn("python", -41.0, -40.0, 0.5, 1.5), 0.05, relative=True)[0].limit == 2.0
    assert gate(drawn("mse", 0.1, 0.0, 0.0, 0.2), 0.05, relative=True) == []
    assert not gate(drawn("mse", 0.1, 0.0, 0.0, 0.2), 0.05)[0].passed
