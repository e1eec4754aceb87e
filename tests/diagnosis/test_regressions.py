"""The bounds against an earlier build."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from buildsys.bounds import REGRESSION_BOUNDS
from buildsys.diagnosis.earlier import Entry, Measured
from buildsys.diagnosis.latencies import compare
from buildsys.diagnosis.regressions import judge
from buildsys.engine.outcome.verdicts import Status
from buildsys.figures.json_form import read
from buildsys.recipe.schema.acceptance import Acceptance
from buildsys.report.comparison import Latency
from buildsys.verify.judgment.gate import Gate


def entry(
    size: int | None = 1000, errors: dict[str, float | None] | None = None, metric: Any = None
) -> Entry:
    outputs = {name: {"signal_error": value} for name, value in (errors or {"y": 1e-3}).items()}
    measured = read(Measured, {"outputs": outputs, "metric": metric})
    return Entry("ios/m.onnx", Status.VERIFIED, None, size, measured, None)


def top1(value: float | None, **more: Any) -> dict[str, Any]:
    return {"name": "top1", "value": value, "reference": 1.0, "count": 100} | more


def judged(bound: str, limit: float, before: Any, now: Any, latency: Latency | None = None) -> Gate:
    (gate,) = judge({bound: limit}, before, now, latency)
    assert (gate.bound, gate.limit, gate.output) == (bound, limit, None)
    return gate


def test_every_bound_that_a_recipe_may_name_is_judged() -> None:
    fields = set(Acceptance.model_fields)
    assert set(REGRESSION_BOUNDS) == {name for name in fields if name.startswith("max_")} - {
        "max_abs",
        "max_rel",
    }
    for bound in REGRESSION_BOUNDS:
        judged(bound, 1.0, entry(), entry())
    with pytest.raises(ValueError, match="no bound named"):
        judge({"max_abs": 1.0}, entry(), entry(), None)


def test_size() -> None:
    assert judged("max_size_ratio", 1.1, entry(1000), entry(1100)).passed
    gate = judged("max_size_ratio", 1.1, entry(1000), entry(1101))
    assert not gate.passed
    assert gate.value == 1.101
    lost = judged("max_size_ratio", 1.1, entry(1000), entry(None))
    assert not lost.passed
    assert lost.value is None


def test_errors_go_by_the_worst_output() -> None:
    before, now = entry(errors={"a": 1e-3, "b": 1e-2}), entry(errors={"a": 3e-3, "b": 1e-2})
    gate = judged("max_error_ratio", 2.9, before, now)
    assert gate.value == pytest.approx(3.0)
    assert gate.reason == "signal_error of `a`"
    assert not gate.passed
    assert judged("max_error_ratio", 3.1, before, now).passed


def test_errors_below_rounding_are_alike() -> None:
    gate = judged("max_error_ratio", 1.0, entry(errors={"y": 1e-9}), entry(errors={"y": 9e-7}))
    assert gate.passed
    assert gate.value == 1.0
    assert "rounding" in (gate.reason or "")
    assert not judged("max_error_ratio", 2.0, entry(errors={"y": 0.0}), entry()).passed


def test_an_error_that_is_no_number_fails() -> None:
    gate = judged("max_error_ratio", 9.0, entry(), entry(errors={"y": None}))
    assert not gate.passed
    assert gate.reason == "`y` has no error that is a number"
    assert not judged("max_error_ratio", 9.0, entry(), entry(errors={"z": 1e-3})).passed
    unrun = replace(entry(), measurement=None)
    assert not judged("max_error_ratio", 9.0, entry(), unrun).passed


def test_a_metric_may_get_better_by_any_amount() -> None:
    before, now = entry(metric=top1(0.9)), entry(metric=top1(0.95))
    assert judged("max_metric_loss", 0.0, before, now).passed
    gate = judged("max_metric_loss", 0.04, now, before)
    assert not gate.passed
    assert gate.value == pytest.approx(0.05)


def test_a_metric_may_be_better_when_it_is_lower() -> None:
    before = entry(metric=top1(0.9, name="mse"))
    assert not judged("max_metric_loss", 0.01, before, entry(metric=top1(0.95, name="mse"))).passed
    assert judged("max_metric_loss", 0.01, before, entry(metric=top1(0.85, name="mse"))).passed


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (None, "one of the two has no metric"),
        (top1(None), "one of the two metrics is not a number"),
        (top1(0.9, name="top5"), "the metric was top1, and is top5"),
        (top1(0.9, count=50), "taken over 50 samples, the earlier over 100"),
    ],
)
def test_metrics_that_cannot_be_compared_fail(now: Any, said: str) -> None:
    gate = judged("max_metric_loss", 1.0, entry(metric=top1(0.9)), entry(metric=now))
    assert not gate.passed
    assert gate.reason == said


def timed(p50: float, spread: float | None) -> Measured:
    figures = {"p50": p50, "p95": p50}
    if spread is not None:
        figures |= {"low": p50 - spread, "high": p50 + spread}
    return read(Measured, {"outputs": {}, "latency_ms": figures})


def test_a_latency_fails_only_where_noise_cannot_explain_it() -> None:
    noisy = compare(timed(1.0, 0.2), timed(1.5, 0.2))
    sure = compare(timed(1.0, 0.01), timed(1.5, 0.01))
    assert judged("max_latency_ratio", 1.2, entry(), entry(), noisy).passed
    gate = judged("max_latency_ratio", 1.2, entry(), entry(), sure)
    assert not gate.passed
    assert gate.value == pytest.approx(1.49 / 1.01)


def test_a_latency_without_an_interval_goes_by_the_median_and_says_so() -> None:
    gate = judged(
        "max_latency_ratio", 1.2, entry(), entry(), compare(timed(1.0, None), timed(1.3, None))
    )
    assert not gate.passed
    assert gate.value == 1.3
    assert "no interval is known" in (gate.reason or "")


def test_a_latency_that_was_not_measured_fails() -> None:
    gate = judged("max_latency_ratio", 1.2, entry(), entry(), None)
    assert not gate.passed
    assert gate.reason == "one of the two was not run"
