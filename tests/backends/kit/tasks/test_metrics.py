"""Metrics of a task, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol.request import StepError
from buildsys.backends.kit.tasks.direction import better
from buildsys.backends.kit.tasks.metrics import METRICS, VOID

top1, top5, f1, iou, mse, mae = (METRICS[n] for n in ("top1", "top5", "f1", "iou", "mse", "mae"))

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.9, 0.05, 0.05]])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([1, 0, 2, 0], 1.0), ([1, 0, 2, 1], 0.75), ([0, 1, 0, 1], 0.0), ([[1], [0], [2], [0]], 1.0)],
)
def test_top1(labels: list[Any], expected: float) -> None:
    assert top1(SCORES, np.array(labels)) == expected


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
def test_labels_of_other_types(dtype: str) -> None:
    assert top1(SCORES.astype(np.float16), np.array([1, 0, 2, 0], dtype=dtype)) == 1


def test_boolean_labels() -> None:
    assert top1(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([True, False])) == 1


def test_labels_of_each_pixel() -> None:
    scores = np.moveaxis(np.array([[[[1, 0], [0, 1]], [[0, 1], [1, 0]]]]), 1, -1)
    assert top1(scores, np.array([[[0, 1], [1, 1]]])) == 0.75


def test_top5() -> None:
    scores = np.arange(7.0)[None].repeat(3, axis=0)  # The five greatest are 2 to 6.
    assert top5(scores, np.array([6, 2, 1])) == pytest.approx(2 / 3)


def test_scores_that_all_tie_are_no_good_guess() -> None:
    labels = np.arange(10)
    assert top1(np.zeros((10, 10)), labels) == 0.1
    assert top5(np.zeros((10, 10)), labels) == 0.5


def test_a_row_with_nan_is_wrong() -> None:
    """An argmax takes NaN for the greatest, and would call the row right where the label is."""
    scores = np.array([[math.nan, 0.0], [0.0, math.nan], [1.0, 0.0]])
    assert top1(scores, np.array([0, 0, 0])) == pytest.approx(1 / 3)


def test_errors_of_regressions() -> None:
    output, labels = np.array([[1.0, 2.0], [3.0, 8.0]]), np.array([[1.0, 1.0], [5.0, 4.0]])
    assert mse(output, labels) == (0 + 1 + 4 + 16) / 4
    assert mae(output, labels) == (0 + 1 + 2 + 4) / 4


CONFUSED = np.eye(4)[[0, 0, 1, 1, 1, 2]]
"""Predictions of six rows; of the fourth class there are none."""


def test_f1_is_the_mean_of_those_of_the_classes_that_occur() -> None:
    """Of class 0 one of two is right, of 1 two of three (of two), of 2 none; 3 does not occur."""
    wanted = np.array([0, 1, 1, 1, 0, 0])
    # tp, labels, predictions: (1, 3, 2), (2, 3, 3), (0, 0, 1).
    assert f1(CONFUSED, wanted) == pytest.approx((2 / 5 + 4 / 6 + 0) / 3)
    assert f1(np.eye(3)[[0, 1, 2]], np.arange(3)) == 1


def test_a_row_with_nan_is_of_no_class() -> None:
    scores = np.array([[math.nan, 1.0], [0.0, 1.0]])
    assert f1(scores, np.array([1, 1])) == pytest.approx(2 / 3)  # One right of two, one predicted.


def test_iou_of_classes_on_the_second_axis_and_on_the_last() -> None:
    classes = np.array([[[0, 0, 1], [1, 1, 2]], [[0, 0, 0], [2, 2, 2]]])
    wanted = np.array([[[0, 1, 1], [1, 1, 2]], [[0, 0, 0], [2, 2, VOID]]])
    last = np.eye(3)[classes]
    # Intersections and unions over both pictures, the void place aside.
    expected = (4 / 5 + 3 / 4 + 3 / 3) / 3
    assert iou(last, wanted) == pytest.approx(expected)
    assert iou(np.moveaxis(last, -1, 1), wanted) == pytest.approx(expected)
    assert iou(np.moveaxis(last, -1, 1), wanted[:, None]) == pytest.approx(expected)


def test_nothing_but_void_has_no_iou() -> None:
    assert math.isnan(iou(np.zeros((1, 2, 3, 4)), np.full((1, 3, 4), VOID)))


@pytest.mark.parametrize("name", METRICS)
def test_a_dataset_in_pieces_has_the_same_metric(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    output, labels = generator.standard_normal((23, 7)), generator.integers(0, 7, 23)
    given = output.argmax(axis=1)[:, None] + np.zeros(7) if name in ("mse", "mae") else labels
    whole = METRICS[name](output, given)
    monkeypatch.setattr("buildsys.backends.kit.tasks.metrics.PIECE", 5 * 7)
    in_pieces = METRICS[name].parts(output, given)
    assert METRICS[name].of(in_pieces) == pytest.approx(whole, rel=1e-12)
    # Rows that are drawn twice, and others not at all.
    rows = generator.integers(0, 23, 23)
    drawn = METRICS[name].of(in_pieces, np.bincount(rows, minlength=23))
    assert drawn == pytest.approx(METRICS[name](output[rows], given[rows]), rel=1e-12)


def test_a_column_is_not_broadcast_against_labels() -> None:
    output = np.array([[1.0], [2.0], [3.0]])
    assert mae(output, np.array([1.0, 2.0, 3.0])) == 0


def test_nan_stays_nan() -> None:
    assert math.isnan(mse(np.array([[math.nan], [1.0]]), np.array([[1.0], [1.0]])))


@pytest.mark.parametrize(
    ("metric", "shape", "labels", "said"),
    [
        ("top1", (2, 3), [0, 3], "go from 0 to 3"),
        ("top1", (2, 3), [-1, 0], "go from -1 to 0"),
        ("top1", (2, 3), [0.5, 1.0], "are not classes"),
        ("top1", (2, 3), [math.nan, 1.0], "are not classes"),
        ("top1", (2, 3), ["a", "b"], "are not classes"),
        ("top1", (2, 3), [0, 1, 2], "do not fit"),
        ("top1", (2,), [0, 1], "more than 1 class"),
        ("f1", (2, 1), [0, 1], "more than 1 class"),
        ("f1", (2, 3), [0, 3], "go from 0 to 3"),
        ("iou", (2, 3, 4, 4), [0, 1], "do not fit"),
        ("iou", (1, 2, 2), [[0, 2]], "go from 0 to 2"),
        ("top5", (2, 5), [0, 1], "more than 5 classes"),
        ("top1", (0, 3), [], "more than 1 class"),
        ("mse", (2, 3), [0, 1], "do not fit"),
        ("mae", (2, 1), [0, 1, 2], "do not fit"),
        ("mse", (0, 1), [], "do not fit"),
        ("mae", (2,), ["a", "b"], "are not numbers"),
    ],
)
def test_what_does_not_fit(
    metric: str, shape: tuple[int, ...], labels: list[Any], said: str
) -> None:
    with pytest.raises(StepError) as caught:
        METRICS[metric](np.zeros(shape), np.array(labels))
    assert said in caught.value.message
    assert (caught.value.field or "").startswith("evaluate")


def test_directions() -> None:
    assert [better(name) for name in ("top1", "top5", "f1", "iou", "mse", "mae", "python")] == [
        "higher",
        "higher",
        "higher",
        "higher",
        "lower",
        "lower",
        "higher",
    ]
