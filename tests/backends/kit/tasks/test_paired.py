"""Intervals of differences: the formula by hand, and that they hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from buildsys.backends.kit.tasks import paired


def test_the_interval_of_outcomes_by_hand() -> None:
    """As if one row more had been lost and one more gained."""
    low, high = paired.of_outcomes(lost=5, gained=1, count=98)
    spread = 1.959964 * math.sqrt((0.06 + 0.02 - 0.04**2) / 100)
    assert (low, high) == pytest.approx((0.04 - spread, 0.04 + spread), rel=1e-6)


def test_models_that_agree_on_few_rows_may_differ() -> None:
    low, high = paired.of_outcomes(lost=0, gained=0, count=360)
    assert low == pytest.approx(-high)
    assert 0.007 < high < 0.009
    assert paired.of_outcomes(0, 0, 36_000)[1] < 0.0001
    assert paired.of_outcomes(lost=3, gained=0, count=3)[1] == 1.0


@pytest.mark.parametrize(("lost", "gained", "count"), [(0.01, 0.005, 360), (0.1, 0.02, 100)])
def test_outcomes_are_covered_in_95_of_100_cases(lost: float, gained: float, count: int) -> None:
    generator = np.random.default_rng(1)
    cases = generator.multinomial(count, [lost, gained, 1 - lost - gained], size=2000)
    intervals = [paired.of_outcomes(int(a), int(b), count) for a, b, _ in cases]
    held = np.mean([low <= lost - gained <= high for low, high in intervals])
    assert held >= 0.94


def test_draws_are_the_same_ones_again() -> None:
    first, second = ([rows.tolist() for rows in paired.draws(5, 3)] for _ in range(2))
    assert first == second
    assert first[0] != first[1]


def test_a_bootstrap_covers_a_difference_of_means() -> None:
    """Against the normal interval of the mean of the differences, which is right here."""
    differences = np.random.default_rng(3).normal(0.3, 1.0, 400)
    interval = paired.of_draws(lambda rows: float(differences[rows].mean()), 400, 1000)
    reach = 1.96 * differences.std() / 20
    assert interval == pytest.approx(
        (differences.mean() - reach, differences.mean() + reach), abs=0.02
    )


def test_a_draw_without_a_difference_leaves_no_interval() -> None:
    assert paired.of_draws(lambda rows: math.nan if rows[0] == 1 else 0.0, 3, 50) is None
