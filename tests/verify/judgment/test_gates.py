"""Gates: what passes, what fails, and that nothing passes by accident."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildsys.bounds import ARTIFACT_CEILINGS, OUTPUT_CEILINGS, OUTPUT_FLOORS, REGRESSION_BOUNDS
from buildsys.engine.outcome.verdicts import describe, rejection
from buildsys.figures.benchmark import AgainstFloat
from buildsys.figures.measurement import Measurement
from buildsys.quantization import SCHEME_NAMES
from buildsys.recipe.schema.acceptance import Acceptance
from buildsys.verify.judgment.defaults import default_bounds
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.outputs.metrics import compare

unhurried = settings(deadline=None)
"""A busy machine is no failure."""

REFERENCE = np.array([[1.0, 2.0], [4.0, 3.0], [5.0, 6.0]])
ALL_BOUNDS = (*OUTPUT_CEILINGS, *OUTPUT_FLOORS, *ARTIFACT_CEILINGS)
LOOSE = dict.fromkeys((*OUTPUT_CEILINGS, *ARTIFACT_CEILINGS), 1e300) | dict.fromkeys(
    OUTPUT_FLOORS, -1e300
)


def measurement(
    artifact: Any = REFERENCE,
    reference: Any = REFERENCE,
    metric: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    figures = compare(np.asarray(artifact), np.asarray(reference)).to_json()
    # A model that float32 costs all of its signal: `floor_ratio` is then `signal_error`.
    floor = {"float32": {"logits": {"signal_error": 1.0}}}
    return {"outputs": {"logits": figures}, "metric": metric, "floor": floor}


def top1(value: float | None, reference: float | None, name: str = "top1") -> dict[str, Any]:
    return {"name": name, "value": value, "reference": reference, "count": 100}


def gates(
    measured: Mapping[str, Any] | None,
    bounds: Mapping[str, float],
    size: int = 30,
    baseline: int | None = 100,
    latency: float | None = 0.5,
) -> dict[str, Gate]:
    ratio = (
        AgainstFloat(latency, latency - 0.2, latency + 0.1, 200) if latency is not None else None
    )
    found = Measurement.of(measured) if measured is not None else None
    judged = judge(found, bounds, bytes=size, baseline_bytes=baseline, latency_ratio=ratio)
    return {gate.bound: gate for gate in judged}


def only(bound: str, limit: float, **figures: Any) -> Gate:
    """The gate of one bound, with figures of the output set by hand."""
    measured = measurement()
    if "floor_ratio" in figures:
        figures["signal_error"] = figures.pop("floor_ratio")
    measured["outputs"]["logits"] |= figures
    return gates(measured, {bound: limit})[bound]


@pytest.mark.parametrize("bound", OUTPUT_CEILINGS)
@pytest.mark.parametrize(
    ("value", "passed"), [(0.0, True), (0.1, True), (0.1 + 1e-12, False), (1e9, False)]
)
def test_ceilings(bound: str, value: float, passed: bool) -> None:
    gate = only(bound, 0.1, **{bound: value})
    assert gate == Gate(bound, "logits", 0.1, value, passed)


@pytest.mark.parametrize("bound", OUTPUT_FLOORS)
@pytest.mark.parametrize(("value", "passed"), [(1.0, True), (0.9, True), (0.89, False)])
def test_floors(bound: str, value: float, passed: bool) -> None:
    assert only(bound, 0.9, **{bound: value}) == Gate(bound, "logits", 0.9, value, passed)


@pytest.mark.parametrize("bound", [*OUTPUT_CEILINGS, *OUTPUT_FLOORS])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_fails_at_any_limit(bound: str, value: float | None) -> None:
    figures: dict[str, Any] = {bound: value}
    if bound == "top1_agreement":
        figures["nonfinite_mismatch"] = 1
    gate = only(bound, LOOSE[bound], **figures)
    assert not gate.passed
    assert gate.value is None
    assert gate.reason


@unhurried
@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(OUTPUT_CEILINGS + OUTPUT_FLOORS),
)
def test_a_pass_is_always_a_true_comparison(value: float, limit: float, bound: str) -> None:
    gate = only(bound, limit, **{bound: value})
    if gate.passed:
        assert math.isfinite(value)
        assert value >= limit if bound in OUTPUT_FLOORS else value <= limit


@pytest.mark.parametrize("bound", [*OUTPUT_CEILINGS, *OUTPUT_FLOORS])
def test_a_limit_that_is_no_number_passes_nothing(bound: str) -> None:
    assert not only(bound, math.nan, **{bound: 0.5}).passed


@unhurried
@given(st.integers(0, REFERENCE.size - 1), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_one_stray_value_fails_every_bound_on_outputs(place: int, value: float) -> None:
    artifact = REFERENCE.copy()
    artifact.flat[place] = value
    judged = gates(measurement(artifact), LOOSE)
    for bound in ("finite", *OUTPUT_CEILINGS, *OUTPUT_FLOORS):
        assert not judged[bound].passed, bound
    assert judged["finite"].value == 1


def test_identical_outputs_pass_the_tightest_bounds() -> None:
    tight = dict.fromkeys(OUTPUT_CEILINGS, 0.0) | dict.fromkeys(("cosine", "top1_agreement"), 1.0)
    assert all(gate.passed for gate in gates(measurement(), tight).values())


def test_three_gates_hold_unasked() -> None:
    judged = gates(measurement(), {})
    assert list(judged) == ["finite", "shape", "dtype"]
    assert all(gate.passed and gate.value == 0 for gate in judged.values())


def test_equal_infinities_are_finite_enough() -> None:
    reference = [[1.0, -math.inf], [2.0, -math.inf]]
    assert gates(measurement(reference, reference), {"max_abs": 0.0})["finite"].passed


def test_another_shape_fails_with_both_shapes_in_the_reason() -> None:
    judged = gates(measurement(REFERENCE[:, :1]), LOOSE)
    assert not judged["shape"].passed
    assert judged["shape"].reason == "the shape is [3, 1], the original's is [3, 2]"
    assert not judged["signal_error"].passed
    assert judged["signal_error"].reason == "the shapes differ"
    assert not judged["top1_agreement"].passed


def test_nan_in_another_shape_is_seen() -> None:
    assert not gates(measurement(np.full((3, 1), math.nan)), {})["finite"].passed


def test_another_family_of_dtype_fails() -> None:
    gate = gates(measurement(REFERENCE.astype(np.int32)), {})["dtype"]
    assert not gate.passed
    assert gate.reason == "the type is int32, the original's is float64"


def test_each_output_is_judged() -> None:
    measured = measurement()
    measured["outputs"]["boxes"] = compare(REFERENCE + 1, REFERENCE).to_json()
    judged = judge(
        Measurement.of(measured), {"max_abs": 0.5}, bytes=1, baseline_bytes=None, latency_ratio=None
    )
    verdicts = {gate.output: gate.passed for gate in judged if gate.bound == "max_abs"}
    assert verdicts == {"logits": True, "boxes": False}


def test_top1_agreement_is_asked_of_outputs_with_classes() -> None:
    measured = measurement()
    measured["outputs"]["score"] = compare(REFERENCE[:, 0], REFERENCE[:, 0]).to_json()
    judged = judge(
        Measurement.of(measured),
        {"top1_agreement": 0.9},
        bytes=1,
        baseline_bytes=None,
        latency_ratio=None,
    )
    asked = [gate for gate in judged if gate.bound == "top1_agreement"]
    assert asked == [Gate("top1_agreement", "logits", 0.9, 1.0, passed=True)]


def test_top1_agreement_without_any_classes_fails() -> None:
    measured = measurement(REFERENCE[:, 0], REFERENCE[:, 0])
    gate = gates(measured, {"top1_agreement": 0.0})["top1_agreement"]
    assert not gate.passed
    assert gate.reason == "no output has scores of two classes or more"


@pytest.mark.parametrize(
    ("metric", "drop", "passed"),
    [
        (top1(0.97, 0.98), 0.01, True),
        (top1(0.96, 0.98), 0.02, False),
        (top1(0.99, 0.98), -0.01, True),
        (top1(0.3, 0.2, "mse"), 0.1, False),
        (top1(0.2, 0.3, "mae"), -0.1, True),
        (top1(0.5, 0.9, "python"), 0.4, False),
    ],
)
def test_metric_drop(metric: dict[str, Any], drop: float, passed: bool) -> None:
    gate = gates(measurement(metric=metric), {"metric_drop": 0.0101})["metric_drop"]
    assert gate.value == pytest.approx(drop)
    assert gate.passed is passed
    assert gate.output is None


def test_a_drop_as_large_as_its_bound_passes() -> None:
    assert 0.9 - 0.85 > 0.05
    measured = measurement(metric=top1(0.85, 0.9))
    assert gates(measured, {"metric_drop": 0.05})["metric_drop"].passed
    assert not gates(measured, {"metric_drop": 0.0499})["metric_drop"].passed


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (None, "no `evaluate`"),
        (top1(None, 0.9), "metric of the artifact"),
        (top1(0.9, None), "metric of the original"),
        (top1(math.nan, 0.9), "beyond"),
    ],
)
def test_a_metric_that_is_not_there_fails(metric: dict[str, Any] | None, said: str) -> None:
    gate = gates(measurement(metric=metric), {"metric_drop": 1e9})["metric_drop"]
    assert not gate.passed
    assert said in str(gate.reason)


def test_size_ratio() -> None:
    assert gates(measurement(), {"size_ratio": 0.3})["size_ratio"].passed
    assert not gates(measurement(), {"size_ratio": 0.29})["size_ratio"].passed


def test_latency_ratio() -> None:
    assert gates(measurement(), {"latency_ratio": 0.5})["latency_ratio"].passed
    beyond = gates(measurement(), {"latency_ratio": 0.4})["latency_ratio"]
    assert not beyond.passed
    said = "95 %: 0.30 to 0.60 in 200 rounds"
    assert beyond.reason == said + "; more rounds would decide, as the bound lies within"
    assert gates(measurement(), {"latency_ratio": 0.2})["latency_ratio"].reason == said


@pytest.mark.parametrize("baseline", [None, 0])
def test_ratios_without_a_baseline_fail(baseline: int | None) -> None:
    judged = gates(
        measurement(), {"size_ratio": 9.0, "latency_ratio": 9.0}, baseline=baseline, latency=None
    )
    for bound in ("size_ratio", "latency_ratio"):
        assert not judged[bound].passed
        assert "unquantized" in str(judged[bound].reason)


def test_without_a_measurement_only_the_size_can_pass() -> None:
    judged = gates(None, LOOSE, latency=None)
    assert [bound for bound, gate in judged.items() if gate.passed] == ["size_ratio"]
    assert judged["cosine"].reason == "the artifact was not run"


def test_a_bound_that_nobody_knows_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no bound named"):
        gates(measurement(), {"signal_eror": 1.0})


def test_json() -> None:
    assert Gate("max_abs", "logits", 1e-4, 3.1e-7, passed=True).to_json() == {
        "bound": "max_abs",
        "output": "logits",
        "limit": 1e-4,
        "value": 3.1e-7,
        "pass": True,
    }
    failed = Gate("metric_drop", None, 0.1, None, passed=False, reason="no metric").to_json()
    assert failed["reason"] == "no metric"


def test_every_bound_that_a_recipe_may_name_is_judged() -> None:
    judged = set(ALL_BOUNDS) | set(REGRESSION_BOUNDS) | {"weights"}  # See test_evidence.py.
    assert set(Acceptance.model_fields) - {"outputs", "targets"} == judged


def test_every_scheme_that_a_recipe_may_name_has_a_default() -> None:
    for scheme in (None, *SCHEME_NAMES):
        bounds = default_bounds(scheme)
        assert Acceptance.model_validate(dict(bounds))
        assert only("signal_error", bounds["signal_error"], signal_error=9e-4).passed
        assert not only("signal_error", bounds["signal_error"], signal_error=0.2).passed, scheme


def test_judging_changes_nothing() -> None:
    measured, bounds = measurement(), dict(LOOSE)
    first = gates(measured, bounds)
    assert gates(measured, bounds) == first
    assert measured == measurement()
    assert bounds == LOOSE


def at_sizes(**values: Any) -> dict[str, Any]:
    """A measurement with 0.01 at the samples, and figures by hand at two sizes."""
    measured = measurement()
    measured["outputs"]["logits"] |= {"max_abs": 0.01, "cosine": 0.99}
    extremes = []
    for size, (symbol, figures) in enumerate(values.items(), 7):
        outputs = {"logits": measured["outputs"]["logits"] | figures}
        extremes.append({"at": {symbol: size}, "outputs": outputs})
    return measured | {"extremes": extremes}


@pytest.mark.parametrize(
    ("bound", "limit", "values", "value", "at", "passed"),
    [
        ("max_abs", 0.1, {"A": 0.02, "B": 0.01}, 0.02, {"A": 7}, True),
        ("max_abs", 0.1, {"A": 0.02, "B": 0.2}, 0.2, {"B": 8}, False),
        ("max_abs", 0.1, {"A": 0.2, "B": None}, None, {"B": 8}, False),
        ("max_abs", 0.001, {"A": 0.009, "B": 0.01}, 0.01, None, False),
        ("cosine", 0.9, {"A": 0.95, "B": 1.0}, 0.95, {"A": 7}, True),
        ("cosine", 0.9, {"A": 0.95, "B": 0.5}, 0.5, {"B": 8}, False),
        ("cosine", 0.9, {"A": 1.0, "B": 0.99}, 0.99, None, True),
    ],
)
def test_the_worst_size_counts_and_is_named_where_it_is_not_the_samples(
    bound: str,
    limit: float,
    values: dict[str, float | None],
    value: float | None,
    at: dict[str, int] | None,
    passed: bool,
) -> None:
    measured = at_sizes(**{symbol: {bound: number} for symbol, number in values.items()})
    gate = gates(measured, {bound: limit})[bound]
    assert (gate.value, gate.at, gate.passed) == (value, at, passed)
    assert gate.to_json().get("at") == at


def test_what_no_tolerance_excuses_at_a_size() -> None:
    measured = at_sizes(A={"nonfinite_mismatch": 3}, B={"shape_match": False, "max_abs": None})
    found = gates(measured, {"max_abs": 1.0})
    assert (found["finite"].value, found["finite"].at) == (3.0, {"A": 7})
    assert (found["shape"].passed, found["shape"].at) == (False, {"B": 8})
    assert describe(found["max_abs"]) == "max_abs of logits at B = 8: the shapes differ"
    assert found["dtype"].at is None


def test_a_rejection_says_at_which_size() -> None:
    gate = gates(at_sizes(A={"max_abs": 0.5}), {"max_abs": 0.1})["max_abs"]
    assert describe(gate) == "max_abs of logits at A = 7 is 0.5, the bound is 0.1, 0.5 would pass"


def test_a_rejection_says_once_what_leaves_all_bounds_without_a_value() -> None:
    strays = REFERENCE.copy()
    strays.flat[:3] = np.nan, np.inf, np.nan
    record = {"outputs": {"logits": compare(strays, REFERENCE).to_json()}, "metric": None}
    failed = [
        g for g in gates(record, {"signal_error": 0.1, "max_abs": 0.1}).values() if not g.passed
    ]
    assert [gate.bound for gate in failed] == ["finite", "signal_error", "max_abs"]
    assert rejection(failed) == (
        "3 elements of logits: NaN or infinite where the original is not the same (the artifact gives "
        "2 NaN, 1 infinite)"
    )
    cut = compare(REFERENCE[:, :1], REFERENCE).to_json()
    failed = [g for g in gates({**record, "outputs": {"logits": cut}}, {}).values() if not g.passed]
    assert rejection(failed).startswith("shape of logits: the shape is ")
    # What has a value is told.
    another = gates(at_sizes(A={"max_abs": 0.5}), {"max_abs": 0.1})["max_abs"]
    assert rejection([*failed, another]).endswith("the bound is 0.1, 0.5 would pass")
