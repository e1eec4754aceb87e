"""Rows that one factor and one rounding make: the same answer as all intervals give, at less cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from buildsys.verify.weights.numbers import one_factor

SEEDS = range(40)


def rows_of(seed: int) -> tuple[Any, Any]:
    """Rows, and their products: reckoned in float64 or in float32, a few of them altered, some rows odd."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(6, int(random.integers(1, 700)))).astype(np.float32)
    rows[random.random(rows.shape) < 0.05] = 0
    factors = random.uniform(-3, 3, (6, 1))
    made = (rows.astype(np.float64) * factors).astype(np.float32)
    if seed % 2:
        made = rows * factors.astype(np.float32)
    for _ in range(int(random.integers(0, 4))):
        row, place = random.integers(6), random.integers(rows.shape[1])
        made[row, place] = np.nextafter(
            made[row, place], np.float32(random.choice([9, -9, np.nan]))
        )
    made[0] = random.normal(size=rows.shape[1]) if seed % 5 == 0 else made[0]
    made[1] = np.inf if seed % 7 == 0 else made[1]
    return rows, made


@pytest.mark.parametrize("seed", SEEDS)
def test_the_short_way_says_what_all_intervals_say(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, made = rows_of(seed)
    off, factors = one_factor.off(rows, made)
    monkeypatch.setattr(one_factor, "TURNS", 0)  # No row is found in the short way.
    expected, exact = one_factor.off(rows, made)
    assert off.tolist() == expected.tolist()
    assert factors == pytest.approx(exact, rel=2.0**-22)


def test_most_elements_of_a_sound_row_cost_a_product_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(32, 4096)).astype(np.float32)
    made = (rows * random.uniform(0.3, 2, (32, 1))).astype(np.float32)
    looked, inner = [], one_factor._intervals

    def counted(rows: Any, got: Any) -> Any:
        looked.append(rows.size)
        return inner(rows, got)

    monkeypatch.setattr(one_factor, "_intervals", counted)
    assert not one_factor.off(rows, made)[0].any()
    assert sum(looked) < 0.05 * rows.size
