"""Choosing among quantized models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.quantize.held_out import least, signal_error, split


def runs(*rows: list[float], dtype: type = np.float32) -> list[dict[Any, NDArray[Any]]]:
    return [{"y": np.array(row, dtype)} for row in rows]


@pytest.mark.parametrize(
    ("count", "used", "judged", "words"),
    [
        (1, [0], [0], "the calibration data itself"),
        (2, [0], [1], "1 held-out runs"),
        (8, [0, 1, 2, 3, 4, 5], [6, 7], "2 held-out runs"),
    ],
)
def test_a_quarter_is_held_out(count: int, used: list[int], judged: list[int], words: str) -> None:
    assert split(list(range(count))) == (used, judged, words)


def test_the_least_error_is_no_nan_and_the_first_of_equals() -> None:
    assert least({"a": float("nan"), "b": 0.2, "c": 0.1, "d": 0.1}) == "c"
    assert least({"a": float("nan"), "b": float("nan")}) == "a"


def test_errors_are_relative_to_what_varies() -> None:
    assert signal_error(runs([10, 0], [12, 0]), runs([11, 0], [12, 0])) == pytest.approx(0.5**0.5)
    assert signal_error(runs([2], [2]), runs([2], [1])) == pytest.approx(1 / 8**0.5)
    assert signal_error(runs([0], [0]), runs([0], [3])) == pytest.approx(3)


def test_the_worst_output_counts_and_a_nan_is_the_worst() -> None:
    expected = [{"y": np.array([1.0]), "z": np.array([v])} for v in (1.0, 3.0)]
    found = [{"y": np.array([1.0]), "z": np.array([v])} for v in (1.0, 2.0)]
    assert signal_error(expected, found) == pytest.approx(0.5**0.5)
    found[0]["y"] = np.array([np.nan])
    assert np.isnan(signal_error(expected, found))


def test_whole_numbers_count_only_where_there_is_nothing_else() -> None:
    expected, found = runs([1], [3], dtype=np.int64), runs([1], [2], dtype=np.int64)
    assert signal_error(expected, found) == pytest.approx(0.5**0.5)
    for run in (*expected, *found):
        run["scores"] = np.array([0.5])
    assert signal_error(expected, found) == 0
