"""Errors sample by sample, and what a failed bound tells of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildsys.bounds import OUTPUT_FLOORS
from buildsys.engine.outcome.verdicts import describe
from buildsys.figures.measurement import Measurement
from buildsys.report.screens.histogram import bars
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.outputs.metrics import compare, row_errors
from buildsys.verify.outputs.spread import MOST_BINS, spread

GENERATOR = np.random.default_rng(3)
REFERENCE = GENERATOR.standard_normal((20, 5))


def test_the_samples_errors_make_up_the_error() -> None:
    artifact = REFERENCE + GENERATOR.normal(0, 0.01, REFERENCE.shape)
    errors = row_errors(artifact, REFERENCE)
    assert errors is not None
    whole = compare(artifact, REFERENCE).errors["signal_error"]
    assert math.sqrt(float(np.square(errors).mean())) == pytest.approx(whole)


def test_the_worst_sample_is_the_one_that_is_wrong() -> None:
    artifact = REFERENCE.copy()
    artifact[7, 2] += 3
    artifact[11] += 1e-6
    found = spread(artifact, REFERENCE)
    assert found["worst"]["sample"] == 7
    assert found["worst"]["signal_error"] == found["quantiles"]["max"] > 0.5
    assert found["quantiles"]["p50"] == 0
    histogram = found["histogram"]
    assert histogram["exact"] == 18
    assert sum(histogram["counts"]) == 2
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    # Six decades lie between the two; the smaller is in the first bin.
    assert len(histogram["counts"]) <= MOST_BINS
    assert histogram["counts"][-1] == 1
    assert histogram["edges"][-2] <= found["worst"]["signal_error"] < histogram["edges"][-1]


def test_a_value_that_is_no_number_is_the_worst() -> None:
    artifact = REFERENCE.copy()
    artifact[3] += 100
    artifact[5, 0] = np.nan
    found = spread(artifact, REFERENCE)
    assert found["worst"] == {"sample": 5, "signal_error": None}
    assert found["histogram"] is found["quantiles"] is None
    assert spread(artifact[:, :2], REFERENCE)["worst"] is None


def test_infinities_that_agree_are_left_out() -> None:
    artifact, reference = REFERENCE + 1e-3, REFERENCE.copy()
    artifact[0, 0] = reference[0, 0] = -np.inf
    assert spread(artifact, reference)["quantiles"]["max"] < 0.01


def test_equal_outputs_are_exact() -> None:
    found = spread(REFERENCE, REFERENCE)
    assert found["histogram"] == {"edges": [], "counts": [], "exact": 20}
    assert list(bars(found)) == ["         exact  " + "█" * 24 + " 20"]


@pytest.mark.parametrize(
    ("bound", "value", "least"),
    [
        ("signal_error", 0.0371, 0.038),
        ("signal_error", 0.001, 0.001),
        ("max_abs", 1923.9, 2000),
        ("signal_error", 0.0, 0.0),
        ("metric_drop", -0.0371, -0.037),
        ("sqnr_db", 23.47, 23),
        ("sqnr_db", -3.14, -3.2),
        ("cosine", 0.99987, 0.99987),
        ("cosine", 0.9998743, 0.99987),
        ("top1_agreement", 0.5, 0.5),
        ("finite", 3.0, None),
    ],
)
def test_the_least_bound_that_would_pass(bound: str, value: float, least: float | None) -> None:
    assert Gate(bound, "y", 1e-3, value, passed=False).least == least


@given(
    st.floats(-1e30, 1e30, allow_subnormal=False), st.sampled_from(["rmse", "sqnr_db", "cosine"])
)
def test_what_would_pass_passes(value: float, bound: str) -> None:
    if bound == "cosine":
        value = max(-1.0, min(1.0, value))
    least = Gate(bound, "y", 0.0, value, passed=False).least
    assert least is not None
    if bound in OUTPUT_FLOORS:
        assert least <= value + 1e-15
    else:
        assert least >= value


def test_a_failed_bound_tells_all_of_it() -> None:
    reference = REFERENCE.round()
    artifact = reference.copy()
    artifact[7] += 1
    figures = compare(artifact, reference).to_json() | spread(artifact, reference)
    (gate,) = (
        g
        for g in judge(
            Measurement.of({"outputs": {"y": figures}}),
            {"max_abs": 0.5},
            bytes=1,
            baseline_bytes=None,
            latency_ratio=None,
        )
        if g.bound == "max_abs"
    )
    assert describe(gate) == (
        "max_abs of y is 1, the bound is 0.5, 1 would pass; the worst sample is number 7"
    )
    assert gate.to_json() == {
        "bound": "max_abs", "output": "y", "limit": 0.5, "value": 1.0, "pass": False,
        "least": 1.0, "worst_sample": 7,
    }  # fmt: skip


def test_bars() -> None:
    figures = {"histogram": {"edges": [1e-3, 1e-2, 1e-1], "counts": [12, 1], "exact": 0}}
    assert list(bars(figures)) == [
        " 1e-03 … 1e-02  " + "█" * 24 + " 12",
        " 1e-02 … 1e-01  ██ 1",
    ]
    assert list(bars(figures, ascii_only=True))[1] == "1e-02 .. 1e-01  ## 1"
    assert list(bars({"histogram": None})) == []
