"""How much of an error an operation may make of its inputs' error, and what stands for infinity."""

from __future__ import annotations

import math

import numpy as np
import pytest

from buildsys.verify.localization.equal_values import EqualValues
from buildsys.verify.localization.tensor_matching import Tensor, error
from tests.verify.localization.test_first_difference import located
from tests.verify.recordings import Array, Side, samples

FLOOR = 1e-4
LEAST = float(np.finfo(np.float32).min)


def off(array: Array, by: float, seed: int) -> Array:
    """An array with an error of just that size, as intermediate tensors are compared."""
    noise = samples(*array.shape[1:], seed=seed).astype(np.float64)
    noise /= math.sqrt(float(np.square(noise).mean()))
    return array + by * float(array.std()) * noise


def chain(*errors: float) -> tuple[Side, Side]:
    """Sines of sines, and the same with an error behind each."""
    reference, side = Side(), Side()
    last = "x"
    for one in (reference, side):
        one.feed("x", samples(40, 8).astype(np.float64))
    for number, each in enumerate(errors):
        name = f"v{number}"
        reference.do("aten::sin", name, lambda x: np.sin(2 * x), last, module=f"steps.{number}")
        exact = reference.values[name]
        side.do("Sin", name, lambda _, e=exact, b=each, s=number: off(e, b, s + 5), last)
        last = name
    return reference, side


def explained(*errors: float) -> list[bool]:
    reference, side = chain(*errors)
    last = f"v{len(errors) - 1}"
    found = EqualValues(side.recording({"y": last}), reference.recording({"y": last}), FLOOR)
    return [f"v{number}" in found for number in range(len(errors))]


@pytest.mark.parametrize("growth", [1.0, 2.0, 3.8])
def test_an_operation_may_amplify_the_error_of_its_inputs(growth: float) -> None:
    assert explained(0.9 * FLOOR, 0.9 * FLOOR * growth, 0.9 * FLOOR * growth**2) == [True] * 3


@pytest.mark.parametrize("growth", [4.2, 8.0])
def test_more_than_fourfold_is_an_error_of_its_own(growth: float) -> None:
    assert explained(0.9 * FLOOR, 0.9 * FLOOR * growth) == [True, False]


def test_next_to_nothing_may_become_what_precision_makes_of_an_operation() -> None:
    assert explained(1e-9, 0.9 * FLOOR) == [True, True]
    assert explained(1e-9, 1.1 * FLOOR) == [True, False]


def test_what_grows_by_and_by_is_told_from_what_goes_wrong_at_once() -> None:
    for growth, gradual in ((3.8, True), (4.2, False)):
        errors = [0.05 * FLOOR, *(0.9 * FLOOR * growth**n for n in range(3))]
        reference, side = chain(*errors)
        found = located(side.recording({"y": "v3"}), reference.recording({"y": "v3"}))
        assert (found["kind"], found["gradual"]) == ("op", gradual)
        # By and by, the most is what comes up first: it had next to nothing before it.
        assert found["operation"]["name"] == ("v1" if gradual else "v2")


X = samples(16).astype(np.float64)


def with_first(*numbers: float) -> Array:
    values = X.copy()
    values[0, : len(numbers)] = numbers
    return values


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(LEAST, -2e30), (-2e30, LEAST), (-math.inf, LEAST), (-math.inf, -2e30), (3e33, 2e30)],
)
def test_what_stands_for_infinity_has_no_size(mine: float, theirs: float) -> None:
    assert error(with_first(mine), with_first(theirs), 1.0) == 0.0


@pytest.mark.parametrize(
    ("mine", "theirs"), [(2e30, LEAST), (1.0, LEAST), (LEAST, 1.0), (math.nan, LEAST)]
)
def test_one_side_alone_and_another_sign_are_wrong(mine: float, theirs: float) -> None:
    assert error(with_first(mine), with_first(theirs), 1.0) == math.inf


def test_below_that_numbers_are_numbers() -> None:
    assert error(with_first(-4e29), with_first(-5e29), 1e29) == pytest.approx(1 / math.sqrt(32))
    # What overflowed was a number in the original.
    assert error(with_first(-math.inf), with_first(-5e29), 1e29) == math.inf


def test_a_mask_does_not_count_as_spread() -> None:
    plain, masked = Tensor.of("x", X), Tensor.of("x", with_first(LEAST, -2e30))
    assert (masked.beyond, masked.strays, masked.cutoff) == (2, 0, 1e30)
    assert masked.spread == pytest.approx(plain.spread, rel=0.2)
    large = Tensor.of("x", 1e29 * X)
    assert (large.beyond, large.spread > 5e28) == (0, True)
