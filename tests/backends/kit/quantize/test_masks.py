"""Which numbers integers cannot hold together: masks beside scores, and what only looks like it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.quantize import masks
from buildsys.backends.kit.quantize.masks import Magnitudes

SCORES = np.random.default_rng(0).standard_normal((4, 12, 12)).astype(np.float32) * 2
PADDED = np.arange(12) > 8
LEAST = np.finfo(np.float32).min


def masked(*runs: NDArray[np.floating]) -> bool:
    found = Magnitudes()
    for run in runs:
        found.add(run)
    return found.masked


@pytest.mark.parametrize("mask", [-100.0, -1e4, -65504.0, -1e9, LEAST, -np.inf])
@pytest.mark.parametrize("how", ["added", "instead"])
def test_scores_with_a_mask(mask: float, how: str) -> None:
    bias = np.where(PADDED, np.float32(mask), np.float32(0))
    with np.errstate(over="ignore"):
        found = SCORES + bias if how == "added" else np.where(PADDED, bias, SCORES)
    assert masked(found)
    # One run of several has it.
    assert masked(SCORES, found, SCORES)
    assert masked(SCORES.astype(np.float16), found)


@pytest.mark.parametrize(
    "numbers",
    [
        SCORES,
        SCORES * 1e4,
        np.exp(SCORES),
        np.abs(SCORES) * 255,
        np.zeros((2, 3)),
        np.zeros((0, 3)),
        np.full((2, 3), 100.0),
        np.array([0.001, 1.0]),  # A gate, or what softmax gives.
        np.array([0.5, 20.0]),  # An outlier: what calibration is for.
        np.array([np.nan, 1.0]),
        np.where(PADDED, -1e4, 0.0),  # The mask itself: integers hold both of its numbers.
    ],
)
def test_numbers_without_a_mask(numbers: NDArray[np.floating]) -> None:
    assert not masked(numbers)


def test_a_mask_without_end_needs_no_others() -> None:
    assert masked(np.where(PADDED, LEAST, np.float32(0)))


def test_numbers_between_of_another_run_count() -> None:
    assert masked(SCORES + np.where(PADDED, -100, 0))
    assert not masked(SCORES + np.where(PADDED, -100, 0), np.array([20.0]))


def test_what_is_told() -> None:
    assert masks.note(1, "add").startswith("1 operator stays in float: ")
    assert masks.note(3, "add").startswith("3 operators stay in float: ")
