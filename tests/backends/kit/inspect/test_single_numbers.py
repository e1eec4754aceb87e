"""Scalars of a model's code are found again in the numbers that an artifact keeps in float16."""

from __future__ import annotations

import math

import numpy as np
import pytest

from buildsys.backends.kit.inspect.single_numbers import SingleNumbers


def half(number: float) -> float:
    return float(np.float16(number))


@pytest.mark.parametrize(
    ("scalar", "number", "held"),
    [
        (1 / math.sqrt(7), half(1 / math.sqrt(7)), half(1 / math.sqrt(7))),
        (1e-5, half(1e-5), half(1e-5)),
        (1e-12, 2.0**-24, 2.0**-24),  # The least number of float16.
        # The divisor was rounded, and one over it again.
        (math.sqrt(7), half(1 / half(math.sqrt(7))), 1 / half(1 / half(math.sqrt(7)))),
        (-0.3, half(0.3), None),
        (0.3, half(0.301), None),
        (0.0, half(0.301), None),
        (float("nan"), half(0.301), None),
        (0.3, float("nan"), None),
    ],
)
def test_a_scalar_is_the_number_that_it_was_rounded_to(
    scalar: float, number: float, held: float | None
) -> None:
    numbers = SingleNumbers([number])
    assert numbers.others() == [0]
    assert numbers.held(scalar) == held
    assert numbers.others() == ([0] if held is None else [])


def test_a_scalar_that_could_be_two_numbers_tells_nothing_of_either() -> None:
    near = half(0.3), float(np.nextafter(np.float16(0.3), np.float16(1)))
    middle = sum(near) / 2
    numbers = SingleNumbers([*near, half(0.7), half(0.7)])
    assert numbers.held(middle) is None
    assert numbers.held(0.7) == half(0.7)
    assert numbers.others() == [0, 1]


def test_a_number_that_two_scalars_could_have_become_is_neither() -> None:
    numbers = SingleNumbers([half(0.1), half(0.3), half(0.7)])
    assert numbers.held(10.0) == 1 / half(0.1)
    assert numbers.held(0.1) == half(0.1)  # A slope, say: one over ten or this, nobody knows.
    assert numbers.held(0.3) == half(0.3) == numbers.held(0.3)
    assert numbers.others() == [0, 2]
    assert numbers.held(0.7**0.5) is None  # As attention has it, on either of its factors.
    assert numbers.held(0.7) == half(0.7)
    assert numbers.others() == [0, 2]
    # What was given is met again, and is no scalar of the code.
    assert numbers.held(half(0.3)) is numbers.held(half(0.3) ** 0.5) is None
    assert numbers.others() == [0, 2]
