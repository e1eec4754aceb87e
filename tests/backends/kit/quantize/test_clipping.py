"""Ranges of activations that leave out what is rare."""

from __future__ import annotations

import numpy as np
import pytest

from buildsys import quantization
from buildsys.backends.kit.quantize.clipping import CLIPPING, METHODS, Histogram, clipped


def seen(values: np.ndarray) -> Histogram:
    found = Histogram(float(values.min()), float(values.max()))
    for part in np.array_split(values, 5):
        found.add(part)
    return found


def squared(values: np.ndarray, low: float, high: float, bits: int) -> float:
    """What really becomes of values: the reference for `mse`."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (2**bits - 1)
    zero = round(-low / step)
    whole = np.clip(np.round(values / step) + zero, 0, 2**bits - 1)
    return float((((whole - zero) * step - values) ** 2).mean())


@pytest.fixture(scope="module")
def bell() -> np.ndarray:
    """A normal distribution with a few outliers above."""
    values = np.random.default_rng(0).standard_normal(100_000)
    values[:5] = 40.0
    return values


def test_the_methods_are_those_of_the_recipe() -> None:
    assert METHODS == quantization.METHOD_NAMES
    assert list(CLIPPING) == [each.name for each in quantization.METHODS if each.histogram]


def test_percentile_keeps_what_it_says(bell: np.ndarray) -> None:
    low, high = clipped(seen(bell), "percentile", 99.0)
    inside = ((bell >= low) & (bell <= high)).mean()
    assert abs(inside - 0.99) < 1e-3
    # As much is cut off on either side.
    assert abs((bell < low).mean() - (bell > high).mean()) < 1e-3


def test_percentile_cuts_nothing_where_values_are_few() -> None:
    values = np.linspace(-3.0, 5.0, 100)
    assert clipped(seen(values), "percentile", 99.99) == (-3.0, 5.0)


@pytest.mark.parametrize("value", [1.0, -10000.0])
@pytest.mark.parametrize("method", CLIPPING)
def test_a_constant_has_a_range_that_is_in_order(method: str, value: float) -> None:
    low, high = clipped(seen(np.full(20, value)), method)
    assert low <= high
    assert max(abs(low - value), abs(high - value)) <= abs(value) / 100


@pytest.mark.parametrize(("method", "bits"), [("percentile", 8), ("entropy", 8), ("mse", 4)])
def test_outliers_are_left_out_and_the_bulk_is_kept(
    bell: np.ndarray, method: str, bits: int
) -> None:
    low, high = clipped(seen(bell), method, bits=bits)
    assert 1.5 < high < 10.0
    assert -10.0 < low < -1.5


def test_the_least_squared_error_is_the_least(bell: np.ndarray) -> None:
    # With 8 bits, five values in 100,000 are worth a coarser step; with 4 they are not.
    for bits, cut in ((8, False), (4, True)):
        low, high = clipped(seen(bell), "mse", bits=bits)
        found = squared(bell, low, high, bits)
        others = [
            squared(bell, low * a, high * b, bits) for a in (0.8, 1, 1.25) for b in (0.8, 1, 1.25)
        ]
        assert found <= min(others) * 1.02
        whole = squared(bell, float(bell.min()), float(bell.max()), bits)
        assert (found < 0.3 * whole) == cut


def test_ranges_around_zero_are_one_threshold(bell: np.ndarray) -> None:
    low, high = clipped(seen(bell), "mse", symmetric=True)
    assert low == pytest.approx(float(max(bell.min(), -high)))


@pytest.mark.parametrize("method", CLIPPING)
def test_sixteen_bits_lose_little_by_keeping_all(method: str) -> None:
    values = np.random.default_rng(1).standard_normal(5_000)
    low, high = clipped(seen(values), method, bits=16)
    assert low < -3.0
    assert high > 3.0
    if method == "entropy":
        assert (low, high) == (values.min(), values.max())


@pytest.mark.parametrize("method", CLIPPING)
def test_what_is_never_negative_begins_at_zero(method: str) -> None:
    values = np.maximum(np.random.default_rng(2).standard_normal(20_000), 0.0)
    low, high = clipped(seen(values), method)
    assert low == 0.0
    assert 2.0 < high <= values.max()


@pytest.mark.parametrize("method", CLIPPING)
def test_constants(method: str) -> None:
    assert clipped(seen(np.zeros(9)), method) == (0.0, 0.0)
    low, high = clipped(seen(np.full(9, 2.5)), method)
    assert high == pytest.approx(2.5, rel=1e-3)
    assert min(low, 0.0) == 0.0


@pytest.mark.parametrize("method", CLIPPING)
def test_units_do_not_matter(bell: np.ndarray, method: str) -> None:
    here, there = (clipped(seen(bell * unit), method, bits=4) for unit in (1.0, 1000.0))
    assert np.asarray(there) / 1000.0 == pytest.approx(np.asarray(here), rel=1e-6)


@pytest.mark.parametrize("method", CLIPPING)
@pytest.mark.parametrize("constant", [-10000.0, -1.0, 0.3, 10000.0])
def test_the_range_of_one_number_is_that_number(method: str, constant: float) -> None:
    seen = Histogram(constant, constant)
    seen.add(np.full(7, constant, np.float32))
    low, high = clipped(seen, method)
    assert low <= high
    assert (low, high) == pytest.approx((constant, constant), rel=1e-3)
