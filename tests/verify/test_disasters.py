"""Conversions that were released as right, each as its users told it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.figures.measurement import Measurement
from buildsys.quantization import SCHEME_NAMES
from buildsys.verify.judgment.defaults import default_bounds
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.outputs.fault import VerifyError
from buildsys.verify.outputs.metrics import compare
from buildsys.verify.outputs.spread import spread

GENERATOR = np.random.default_rng(1)
REFERENCE = GENERATOR.normal(0, 5, (8, 16)).astype(np.float32)
SCHEMES = (None, *SCHEME_NAMES)
LOOSEST = {"signal_error": 1e300, "max_abs": 1e300, "max_rel": 1e300, "rmse": 1e300, "cosine": -1.0}


def judged(
    artifact: NDArray[np.generic],
    bounds: Mapping[str, float],
    reference: NDArray[np.generic] = REFERENCE,
) -> dict[str, Gate]:
    figures = compare(artifact, reference).to_json() | spread(artifact, reference)
    record = {"outputs": {"y": figures}, "metric": None}
    found = judge(Measurement.of(record), bounds, bytes=1, baseline_bytes=None, latency_ratio=None)
    return {gate.bound: gate for gate in found}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_difference_of_1923_9_is_no_warning(scheme: str | None) -> None:
    """An exporter printed it, called it a warning, and exited with 0 (optimum#1755)."""
    artifact = REFERENCE.copy()
    artifact[3, 5] += 1923.9
    gate = judged(artifact, default_bounds(scheme))["signal_error"]
    assert not gate.passed
    assert gate.worst == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("everything", [False, True])
def test_nan_never_passes(value: float, everything: bool) -> None:
    """NaN compares false with every limit, so that `error > limit` lets it through."""
    artifact = np.full_like(REFERENCE, value) if everything else REFERENCE.copy()
    artifact[2, 2] = value
    gates = judged(artifact, LOOSEST)
    for bound in ("finite", *LOOSEST):
        assert not gates[bound].passed, bound


def test_zero_over_zero_hides_nothing() -> None:
    """A relative error is 0/0 on zeros: leaving these out, or taking `nanmax`, is right; `max` is not.

    Half of the elements are 0 on both sides, and the others wrong by half.
    """
    reference = REFERENCE.copy()
    reference[:, ::2] = 0
    artifact = reference.copy()
    artifact[:, 1::2] *= 0.5
    gates = judged(artifact, {"max_rel": 0.4, "signal_error": 0.4}, reference)
    assert gates["max_rel"].value == pytest.approx(0.5, abs=0.1)
    assert not gates["max_rel"].passed
    assert not gates["signal_error"].passed


def test_a_constant_that_is_nearly_right_proves_nothing() -> None:
    """An untrained head gives its bias for every input: any conversion of it has a cosine of 1."""
    constant = np.broadcast_to(GENERATOR.normal(0, 5, 16), (8, 16)).astype(np.float32)
    with pytest.raises(VerifyError, match="does not vary"):
        compare(constant, constant)
    # Rounding differs from sample to sample, as the sums of a large batch's kernels do.
    noise = 1 + np.finfo(np.float32).eps * GENERATOR.choice([-3, 0, 3], constant.shape)
    nearly = (constant.astype(np.float64) * noise).astype(np.float32)
    with pytest.raises(
        VerifyError, match=r"hardly varies over the samples: by .* of its size"
    ) as told:
        compare(nearly, nearly)
    assert told.value.hint is not None
    assert "other samples" in told.value.hint
    assert "weights" in told.value.hint
    # A thousand times that is a signal.
    enough = (constant * (1 + 1e-4 * GENERATOR.standard_normal(constant.shape))).astype(np.float32)
    assert compare(enough, enough).errors["signal_error"] == 0


def test_whole_numbers_have_no_rounding() -> None:
    large = np.full((8, 4), 10**9)
    large[0, 0] += 1
    assert compare(large, large).errors["signal_error"] == 0
