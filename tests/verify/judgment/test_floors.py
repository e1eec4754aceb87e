"""Bounds against what a model's own precision costs, and bounds on outputs by name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from buildsys.backends.kit.run.signals import part_errors, signal_error
from buildsys.engine.outcome.verdicts import limits_of, useless_floor
from buildsys.figures.measurement import Measurement
from buildsys.planner import graph as planned
from buildsys.planner.graph import Deployable, Evidence, Quantized
from buildsys.recipe.schema.acceptance import Acceptance
from buildsys.verify.judgment.defaults import BY_SCHEME, FLOORS, cap, default_bounds, raised
from buildsys.verify.judgment.fast_kernels import notes
from buildsys.verify.judgment.floors import LEAST_FLOORS
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.judgment.limits import Limits
from buildsys.verify.outputs.metrics import compare
from tests.verify.judgment.test_gates import REFERENCE


def measured(error: float, floor: float | str | None, precision: str = "float32") -> dict[str, Any]:
    """A measurement of two outputs; the floor of the first is as given."""
    figures = compare(REFERENCE, REFERENCE).to_json()
    told = {"reason": floor} if isinstance(floor, str) else {"signal_error": floor}
    found: dict[str, Any] = {"outputs": {"a": figures | {"signal_error": error}}, "metric": None}
    return found if floor is None else found | {"floor": {precision: {"a": told}}}


def gate(record: dict[str, Any], limits: Limits, bound: str) -> Gate | None:
    found = judge(Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None)
    return next((gate for gate in found if gate.bound == bound), None)


def test_the_error_is_taken_relative_to_the_floor() -> None:
    found = gate(measured(4e-5, 1e-5), Limits({"floor_ratio": 5}), "floor_ratio")
    assert found is not None
    assert (found.output, found.limit, found.passed) == ("a", 5, True)
    assert found.value == pytest.approx(4.0)
    found = gate(measured(6e-5, 1e-5), Limits({"floor_ratio": 5}), "floor_ratio")
    assert found is not None
    assert not found.passed


@pytest.mark.parametrize("precision", LEAST_FLOORS)
def test_a_floor_is_never_less_than_a_rounding(precision: str) -> None:
    least = LEAST_FLOORS[precision]
    limits = Limits({"floor_ratio": 5}, precision=precision)
    found = gate(measured(4 * least, 0.0, precision), limits, "floor_ratio")
    assert found is not None
    assert found.value == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("floor", "reason"),
    [("it is NaN in float64", "it is NaN in float64"), (None, "the original was not run")],
)
def test_without_a_floor_the_bound_fails_where_it_was_asked_for(
    floor: str | None, reason: str
) -> None:
    asked = gate(measured(1e-9, floor), Limits({"floor_ratio": 5}), "floor_ratio")
    assert asked is not None
    assert (asked.passed, asked.value) == (False, None)
    assert reason in (asked.reason or "")
    assert (
        gate(measured(1, floor), Limits({"floor_ratio": 5}, floor_needed=False), "floor_ratio")
        is None
    )


def test_a_scheme_without_a_floor_says_so() -> None:
    found = gate(measured(1e-9, 1e-6), Limits({"floor_ratio": 5}, precision=None), "floor_ratio")
    assert found is not None
    assert not found.passed
    assert "this scheme has none" in (found.reason or "")


def test_an_output_of_whole_numbers_has_no_rounding() -> None:
    record = measured(0.1, 1e-6)
    record["outputs"]["a"] |= {"reference_dtype": "int64", "dtype": "int64"}
    assert gate(record, Limits({"floor_ratio": 5}), "floor_ratio") is None


@pytest.mark.parametrize(
    ("error", "passed"), [(1.28e-3, True), (1.4e-2, True), (1.6e-2, False), (3e-1, False)]
)
def test_an_output_of_the_original_in_float16_is_held_to_its_rounding(
    error: float, passed: bool
) -> None:
    """ONNX's `attention_4d_fp16`: OpenVINO is as right as ONNX Runtime, and rounds elsewhere."""
    record = measured(error, None)
    record["outputs"]["a"]["reference_dtype"] = "float16"
    limits = Limits(default_bounds(None), raised=raised(None), cap=cap(None), floor_needed=False)
    for bound in ("signal_error", "floor_ratio"):
        found = gate(record, limits, bound)
        assert found is not None
        assert found.passed is passed
    record["outputs"]["a"]["reference_dtype"] = "float32"
    whole = gate(record, limits, "signal_error")
    assert whole is not None
    assert not whole.passed


def test_a_default_bound_yields_to_a_model_that_float32_does_not_carry() -> None:
    limits = Limits(default_bounds(None), raised=raised(None), floor_needed=False, cap=cap(None))
    sound = gate(measured(5e-3, 1e-3), limits, "signal_error")
    assert sound is not None
    assert sound.passed
    assert sound.limit == pytest.approx(0.03)
    assert sound.reason == "raised from 0.001: 30 times what the model's own precision costs"
    broken = gate(measured(0.04, 1e-3), limits, "signal_error")
    assert broken is not None
    assert not broken.passed
    # Beyond the most that a default allows, it is said whether the original is, too.
    lost = gate(measured(0.09, 0.1), limits, "signal_error")
    assert lost is not None
    assert not lost.passed
    assert lost.reason == (
        "raised from 0.001: 30 times what the model's own precision costs (0.1) would be 3, 0.05 is the most "
        "that a default allows; float32 takes the original itself beyond that, in torch"
    )
    kept = gate(measured(5e-3, 1e-6), limits, "signal_error")
    assert kept == Gate("signal_error", "a", 1e-3, 5e-3, passed=False)
    # A bound of the user's own is what they say.
    given = gate(measured(5e-3, 1.6e-2), Limits({"signal_error": 1e-3}), "signal_error")
    assert given is not None
    assert not given.passed


def deployable(
    scheme: str | None,
    bounds: Mapping[str, float],
    evaluated: str | None = None,
    *,
    widens: bool = False,
) -> Deployable:
    """One that is held to default bounds, as far as judging reads it."""
    told = SimpleNamespace(
        quantized=Quantized(None, None, scheme, "", widens),
        evidence=Evidence(None, None, evaluated=evaluated),
        limits=planned.Limits("default", bounds, default=True),
    )
    return cast(Deployable, told)


@pytest.mark.parametrize("floor", [0.02, 0.52, 1e6])
@pytest.mark.parametrize("scheme", [None, "float16"])
@pytest.mark.parametrize("evaluated", [False, True])
def test_no_floor_raises_a_default_beyond_what_a_sound_artifact_costs(
    floor: float, scheme: str | None, evaluated: bool
) -> None:
    bounds = default_bounds(scheme, evaluated=evaluated)
    limits = limits_of(deployable(scheme, bounds, "an evaluator" if evaluated else None))
    precision = FLOORS[scheme]
    for error in (0.3, 1.0):
        record = measured(error, floor, precision)
        record["graph"] = {"outputs": {"a": {"signal_error": error}}}
        record["floor"]["float32"] = {"a": {"signal_error": floor}}
        row = {"case": "zeros", "steady": {"a": True}, "outputs": record["outputs"]}
        for bound in ("signal_error", "graph_ratio"):
            found = gate(record, limits, bound)
            assert found is not None
            assert not found.passed, found
        at_edge = gate(measured(1e-5, floor, precision) | {"edges": [row]}, limits, "signal_error")
        assert at_edge is not None
        assert at_edge.passed == (scheme is not None), at_edge


def with_metric(metric: dict[str, Any]) -> Measurement:
    return Measurement.of({"outputs": {}, "metric": metric})


def test_a_metric_that_cannot_judge_leaves_the_stricter_bound_on_errors() -> None:
    coarse = deployable("weight-only", default_bounds("weight-only", coarse=True, metric=True))
    metric = {"name": "mse", "value": 0.0, "reference": 0.0}
    assert limits_of(coarse, with_metric(metric)).general["signal_error"] == 0.5
    assert (
        limits_of(coarse, with_metric(metric | {"reference": 1.0})).general["signal_error"] == 0.9
    )
    assert limits_of(coarse, with_metric(metric | {"name": "top1"})).general["signal_error"] == 0.9


def test_a_floor_that_is_no_measure_is_told_with_the_operation() -> None:
    bounds = default_bounds("float16")
    record = measured(1e-4, 0.52, "float16")
    lost = {"layer": "conv2", "operation": "aten::convolution", "largest": 3.0, "not_finite": 0}
    record["floor"]["lost"] = {"float16": lost | {"before": 0.001, "after": 0.5}}
    (said,) = useless_floor(deployable("float16", bounds), Measurement.of(record))
    assert "float16 costs the model 0.52 of `a` in torch" in said
    assert "at `convolution` of `conv2` the error rises from 0.001 to 0.5" in said
    assert "0.15; name one of your own under `accept`" in said
    record["floor"]["float16"]["a"]["signal_error"] = 0.01
    assert useless_floor(deployable("float16", bounds), Measurement.of(record)) == ()


def test_what_widens_its_weights_is_held_to_what_their_rounding_costs() -> None:
    """Magika: float16 throughout breaks it, and an artifact that computes in float32 is off by 7e-5."""
    bounds = default_bounds("float16")
    record = measured(2.6e-3, 1.18, "float16")
    for widens in (False, True):
        limits = limits_of(deployable("float16", bounds, widens=widens))
        # Where only float16 throughout was measured there is no other floor.
        found = gate(record, limits, "floor_ratio")
        assert found is not None
        assert found.passed
    record["floor"] |= {
        "float16 weights": {"a": {"signal_error": 7.1e-5}},
        "float32": {"a": {"signal_error": 9.8e-7}},
    }
    for widens, passed in ((False, True), (True, False)):
        held = deployable("float16", bounds, widens=widens)
        found = gate(record, limits_of(held), "floor_ratio")
        assert found is not None
        assert found.passed is passed
        assert bool(useless_floor(held, Measurement.of(record))) is not widens
    # What the original itself loses in its own precision is in its artifact's error, too.
    record["floor"]["float32"]["a"]["signal_error"] = 1e-3
    found = gate(record, limits, "floor_ratio")
    assert found is not None
    assert found.value == pytest.approx(2.6)
    record["floor"]["float16 weights"]["a"]["signal_error"] = 0.3
    (said,) = useless_floor(deployable("float16", bounds, widens=True), Measurement.of(record))
    assert said.startswith("rounding the weights to float16 costs the model 0.3 of `a`")


def test_a_small_part_of_an_output_is_judged_for_itself() -> None:
    """Nudenet's: boxes in pixels, and scores below 1, of which a broken file gave others."""
    drawn = np.random.default_rng(0)
    reference = np.concatenate(
        [drawn.normal(0, 100, (4, 2, 64)), drawn.uniform(0, 1, (4, 3, 64))], axis=1
    ).astype(np.float32)
    broken = reference.copy()
    broken[:, 3] = 0
    (errors,) = part_errors(broken, reference).values()
    assert errors[:3] == [None, None, 0.0]
    assert (errors[3] or 0.0) > 1
    assert part_errors(reference[:, 2:], reference[:, 2:]) == {}
    assert part_errors(reference[:, :, :8], reference[:, :, :8]) == {}
    record: dict[str, Any] = {
        "outputs": {
            "a": compare(broken, reference).to_json() | {"parts": part_errors(broken, reference)}
        },
        "metric": None,
    }
    for scheme, limit in ((None, 1e-2), ("float16", 0.1)):
        held = limits_of(deployable(scheme, {"signal_error": 0.5}))
        found = gate(record, held, "signal_error")
        assert found is not None
        assert (found.passed, found.limit) == (False, limit)
        assert found.case == "part 3 along axis 1"
        own = gate(record, replace(held, parts=None), "signal_error")
        assert own is not None
        assert own.passed


@pytest.mark.parametrize(
    ("scheme", "floor", "error"), [(None, 1e-3, 0.02), ("float16", 0.06, 0.11)]
)
def test_a_small_part_may_err_as_the_precision_does_up_to_the_cap(
    scheme: str | None, floor: float, error: float
) -> None:
    """What a precision costs is allowed; where that is more than a default allows, a broken part fails."""

    def judged(error: float, floor: float) -> Gate | None:
        outputs = {"a": compare(REFERENCE, REFERENCE).to_json() | {"parts": {"1": [None, error]}}}
        told = {"a": {"signal_error": 1e-7, "parts": {"1": [None, floor]}}}
        record = {"outputs": outputs, "metric": None, "floor": {FLOORS[scheme]: told}}
        return gate(record, held, "signal_error")

    held = limits_of(deployable(scheme, {"signal_error": 0.5}))
    dearer, cheaper = judged(error, floor), judged(error, floor / 10)
    assert dearer is not None
    assert cheaper is not None
    assert (dearer.passed, cheaper.passed) == (True, False)
    broken = judged(1.2, 1.0)
    assert broken is not None
    assert (broken.passed, broken.limit) == (False, cap(scheme))
    assert "is the most that a default allows" in (broken.reason or "")


def shipped(error: float, plain: float | None, few: float | None = None) -> dict[str, Any]:
    """A measurement with a run without fast kernels; `few`: what those cost the samples that it has."""
    figures = {"signal_error": plain, "shipped": error if few is None else few}
    return measured(error, 1e-6) | {"plain": {"without": "them", "outputs": {"a": figures}}}


@pytest.mark.parametrize(("error", "most"), [(1e-4, 1e-3), (4e-3, 1e-2)])
def test_what_fast_kernels_cost_is_no_fault_of_a_file_that_is_right_without_them(
    error: float, most: float
) -> None:
    """XNNPACK on an untrained Xception, OpenVINO's generated kernels on MobileViT: both were rejected."""
    held = limits_of(deployable(None, default_bounds(None)))
    record = shipped(error, 1e-6)
    for at in (record, record | {"extremes": [{"at": {"N": 64}, "outputs": record["outputs"]}]}):
        found = judge(Measurement.of(at), held, bytes=1, baseline_bytes=None, latency_ratio=None)
        assert all(each.passed for each in found), found
        limits = {each.bound: each.limit for each in found}
        assert limits["signal_error"] == most
        assert limits["floor_ratio"] == pytest.approx(1e4)
        (said,) = notes(found)
        assert said == (
            f"`a`: its runtime's fast kernels cost it a signal error of {error:.2g}, and 1e-06 without them"
        )
    row = {"case": "zeros", "steady": {"a": True}, "outputs": record["outputs"]}
    edge = gate(record | {"edges": [row]}, held, "signal_error")
    assert edge is not None
    assert edge.passed
    alone = gate(measured(error, 1e-6), held, "floor_ratio")
    assert alone is not None
    assert not alone.passed


@pytest.mark.parametrize(
    ("error", "plain", "few", "default", "dtype"),
    [
        (4e-3, 4e-3, None, True, "float32"),
        (2e-2, 1e-6, None, True, "float32"),
        (4e-3, None, None, True, "float32"),
        (4e-3, 1e-6, 1e-6, True, "float32"),
        (4e-3, 1e-6, None, True, "int64"),
        (4e-3, 1e-6, None, False, "float32"),
    ],
    ids=["wrong without", "too much", "not run", "another sample", "classes", "a recipe's bounds"],
)
def test_fast_kernels_excuse_no_other_error(
    error: float, plain: float | None, few: float | None, default: bool, dtype: str
) -> None:
    held = limits_of(deployable(None, default_bounds(None)))
    if not default:
        held = replace(held, raised=None, fast_kernels=None)
    record = shipped(error, plain, few)
    record["outputs"]["a"]["reference_dtype"] = dtype
    bounds = ("signal_error", "floor_ratio") if dtype == "float32" else ("signal_error",)
    for bound in bounds:
        found = gate(record, held, bound)
        assert found is not None
        assert (found.passed, found.limit) == (False, held.general[bound])


def test_what_fast_kernels_cost_too_much_is_rejected_with_the_error_that_it_has_without_them() -> (
    None
):
    held = limits_of(deployable(None, default_bounds(None)))
    for bound in ("signal_error", "floor_ratio"):
        found = gate(shipped(2e-2, 1e-6), held, bound)
        assert found is not None
        assert not found.passed
        assert (found.reason or "").endswith("without them, the signal error is 1e-06")


def test_the_mean_of_all_answers_passes_no_default() -> None:
    constant = np.broadcast_to(REFERENCE.mean(axis=0), REFERENCE.shape)
    error = compare(constant, REFERENCE).errors["signal_error"]
    assert error == pytest.approx(1.0)
    for scheme in BY_SCHEME:
        for coarse, metric in itertools.product((False, True), repeat=2):
            bounds = default_bounds(scheme, coarse=coarse, metric=metric)
            assert (error or 0.0) > bounds["signal_error"], (scheme, coarse, metric)


def test_defaults_by_what_ran_the_artifact() -> None:
    assert default_bounds(None) == {"signal_error": 1e-3, "floor_ratio": 30.0}
    assert default_bounds(None, evaluated=True)["floor_ratio"] == 10.0
    assert default_bounds("float16", evaluated=True) == {"signal_error": 2e-2, "floor_ratio": 2.0}
    assert default_bounds(None, approximates=True) == {"signal_error": 1e-3}
    assert default_bounds("static") == {"signal_error": 0.15}


GENERATOR = np.random.default_rng(0)
SIGNAL = GENERATOR.normal(3, 2, (5, 4))
NEAR = SIGNAL + GENERATOR.normal(0, 1e-3, (5, 4))
FIRST = np.arange(20).reshape(5, 4) == 0


@pytest.mark.parametrize(
    ("artifact", "reference"),
    [
        (NEAR, SIGNAL),
        (NEAR.astype(np.float16), SIGNAL.astype(np.float32)),
        (SIGNAL, SIGNAL),
        (np.zeros_like(SIGNAL), SIGNAL),
        (np.full_like(SIGNAL, 3), SIGNAL),
        (np.where(FIRST, np.inf, NEAR), np.where(FIRST, np.inf, SIGNAL)),
        # Squares of these leave float64's range.
        (NEAR * 1e148, SIGNAL * 1e148),
        (NEAR * 1e-200, SIGNAL * 1e-200),
        (NEAR > 3, SIGNAL > 3),
        (NEAR.astype(int), SIGNAL.astype(int)),
    ],
)
def test_signal_error_of_workers_is_that_of_the_host(artifact: Any, reference: Any) -> None:
    told = signal_error(artifact, reference)
    assert isinstance(told, float)
    assert told == compare(artifact, reference).errors["signal_error"]


@pytest.mark.parametrize("stray", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_error_on_either_side(stray: float) -> None:
    artifact = np.where(FIRST, stray, NEAR)
    for reference in (SIGNAL, np.where(FIRST, -stray, SIGNAL)):
        assert signal_error(artifact, reference) == "1 of 20 elements are not finite"
    assert compare(artifact, SIGNAL).errors["signal_error"] is None
    # A NaN that the original gives as well is no agreement.
    if np.isnan(stray):
        assert signal_error(artifact, artifact) == "1 of 20 elements are not finite"
    else:
        assert (
            signal_error(artifact, artifact)
            == compare(artifact, artifact).errors["signal_error"]
            == 0.0
        )


def test_workers_say_why_there_is_no_error() -> None:
    assert signal_error(NEAR[:, :2], SIGNAL) == "the shape is [5, 2] instead of [5, 4]"
    for constant in (np.ones((2, 2)), np.zeros((2, 2)), np.zeros((2, 0))):
        assert signal_error(constant, constant) == "it does not vary over the samples"
    assert signal_error(NEAR * 1e306, SIGNAL * 1e-9) == "its error is beyond what a float64 holds"


def test_a_bound_on_an_output_goes_before_the_general_one() -> None:
    figures = compare(REFERENCE, REFERENCE).to_json() | {"max_abs": 0.3}
    record = {"outputs": {"boxes": figures, "scores": figures}, "metric": None}
    limits = Limits({"max_abs": 0.1}, {"boxes": {"max_abs": 0.5, "rmse": 1.0}})
    found = judge(Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None)
    told = {(g.bound, g.output): (g.limit, g.passed) for g in found}
    assert told["max_abs", "boxes"] == (0.5, True)
    assert told["max_abs", "scores"] == (0.1, False)
    assert told["rmse", "boxes"] == (1.0, True)
    assert ("rmse", "scores") not in told


def test_the_most_specific_bound_holds() -> None:
    accepted = Acceptance.model_validate(
        {
            "signal_error": 1e-4,
            "outputs": {"boxes": {"max_abs": 0.5}},
            "targets": {
                "ios": {"signal_error": 2e-2, "outputs": {"boxes": {"max_abs": 0.7, "rmse": 0.1}}}
            },
        }
    )
    assert accepted.bounds("android") == {"signal_error": 1e-4}
    assert accepted.bounds("ios") == {"signal_error": 2e-2}
    assert accepted.output_bounds("android") == {"boxes": {"max_abs": 0.5}}
    assert accepted.output_bounds("ios") == {"boxes": {"max_abs": 0.7, "rmse": 0.1}}


def test_what_is_quantized_is_held_to_the_tasks_metric() -> None:
    assert default_bounds("static", metric=True) == {"signal_error": 0.15, "metric_drop": 0.05}
    assert default_bounds("float16", metric=True)["metric_drop"] == 0.05
    assert "metric_drop" not in default_bounds(None, metric=True)
    assert default_bounds(None, metric=True, transformed=True)["metric_drop"] == 0.05


def test_few_bits_are_held_to_less_of_the_outputs() -> None:
    assert default_bounds("weight-only", coarse=True) == {"signal_error": 0.5}
    judged = default_bounds("weight-only", coarse=True, metric=True)
    assert judged == {"signal_error": 0.9, "metric_drop": 0.05}
