"""Bounds against what a model's own precision costs, and bounds on outputs by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.signals import signal_error
from buildsys.recipe.quality import Acceptance
from buildsys.verify.defaults import default_bounds, raised
from buildsys.verify.gates import LEAST_FLOORS, Gate, Limits, judge
from buildsys.verify.metrics import compare
from tests.verify.test_gates import REFERENCE


def measured(error: float, floor: float | str | None, precision: str = "float32") -> dict[str, Any]:
    """A measurement of two outputs; the floor of the first is as given."""
    figures = compare(REFERENCE, REFERENCE).to_json()
    told = {"reason": floor} if isinstance(floor, str) else {"signal_error": floor}
    found: dict[str, Any] = {"outputs": {"a": figures | {"signal_error": error}}, "metric": None}
    return found if floor is None else found | {"floor": {precision: {"a": told}}}


def gate(record: dict[str, Any], limits: Limits, bound: str) -> Gate | None:
    found = judge(record, limits, bytes=1, baseline_bytes=None, latency_ratio=None)
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
    [("it is NaN in float64", "it is NaN in float64"), (None, "only models in PyTorch")],
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


def test_a_default_bound_yields_to_a_model_that_float32_does_not_carry() -> None:
    limits = Limits(default_bounds(None), raised=raised(None), floor_needed=False)
    sound = gate(measured(5e-3, 1.6e-2), limits, "signal_error")
    assert sound is not None
    assert sound.passed
    assert sound.limit == pytest.approx(0.48)
    assert sound.reason == "raised from 0.001: 30 times what the model's own precision costs"
    broken = gate(measured(0.6, 1.6e-2), limits, "signal_error")
    assert broken is not None
    assert not broken.passed
    kept = gate(measured(5e-3, 1e-6), limits, "signal_error")
    assert kept == Gate("signal_error", "a", 1e-3, 5e-3, passed=False)
    # A bound of the user's own is what they say.
    given = gate(measured(5e-3, 1.6e-2), Limits({"signal_error": 1e-3}), "signal_error")
    assert given is not None
    assert not given.passed


def test_defaults_by_what_ran_the_artifact() -> None:
    assert default_bounds(None) == {"signal_error": 1e-3, "floor_ratio": 30.0}
    assert default_bounds(None, evaluated=True)["floor_ratio"] == 10.0
    assert default_bounds("float16", evaluated=True) == {"signal_error": 2e-2, "floor_ratio": 2.0}
    assert default_bounds(None, approximates=True) == {"signal_error": 1e-3}
    assert default_bounds("static") == {"signal_error": 0.15}


def test_signal_error_of_workers_is_that_of_the_host() -> None:
    generator = np.random.default_rng(0)
    reference = generator.normal(3, 2, (5, 4)).astype(np.float32)
    artifact = reference + generator.normal(0, 1e-3, (5, 4))
    found = compare(artifact, reference).signal_error
    assert signal_error(artifact, reference) == pytest.approx(found)
    reference[0, 0] = artifact[0, 0] = np.inf
    found = compare(artifact, reference).signal_error
    assert signal_error(artifact, reference) == pytest.approx(found)
    artifact[1, 1] = np.nan
    assert signal_error(artifact, reference) == "1 of 20 elements are not finite"
    assert signal_error(artifact[:, :2], reference) == "the shape is [5, 2] instead of [5, 4]"
    assert signal_error(np.ones((2, 2)), np.ones((2, 2))) == "it does not vary over the samples"


def test_a_bound_on_an_output_goes_before_the_general_one() -> None:
    figures = compare(REFERENCE, REFERENCE).to_json() | {"max_abs": 0.3}
    record = {"outputs": {"boxes": figures, "scores": figures}, "metric": None}
    limits = Limits({"max_abs": 0.1}, {"boxes": {"max_abs": 0.5, "rmse": 1.0}})
    found = judge(record, limits, bytes=1, baseline_bytes=None, latency_ratio=None)
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
