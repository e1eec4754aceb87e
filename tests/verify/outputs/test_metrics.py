"""Figures against numbers worked out by hand, and the cases where figures go wrong elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from buildsys.verify.outputs.fault import VerifyError
from buildsys.verify.outputs.metrics import FIGURES, SQNR_CAP_DB, Figures, compare

unhurried = settings(deadline=None)
"""A busy machine is no failure."""

NAN, INF = math.nan, math.inf

# Three samples of two elements. Mean over samples: [3, 4]; what varies: [-2, -2], [0, 0], [2, 2].
REFERENCE = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32)


def errors(figures: Figures) -> list[float | None]:
    return [figures.errors[name] for name in FIGURES]


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9)


def test_figures_worked_out_by_hand() -> None:
    # Off by +3 in one element and by -4 in another: the error's norm is 5.
    out = REFERENCE + np.array([[3, 0], [0, 0], [0, -4]], dtype=np.float32)
    figures = compare(out, REFERENCE)
    assert figures.errors["signal_error"] == pytest.approx(5 / 4)  # ‖(2, 2, 2, 2)‖ = 4
    assert figures.errors["max_abs"] == 4
    # Squares of the reference sum up to 91; rms = √(91/6) = 3.894. 3 / max(1, 3.894) < 4 / 6? No.
    assert figures.errors["max_rel"] == pytest.approx(3 / math.sqrt(91 / 6))
    assert figures.errors["mean_abs"] == pytest.approx(7 / 6)
    assert figures.errors["rmse"] == pytest.approx(5 / math.sqrt(6))
    # out = 4 2 3 4 5 2: dot 4 + 4 + 9 + 16 + 25 + 12 = 70, squares 16 + 4 + 9 + 16 + 25 + 4 = 74.
    assert figures.errors["cosine"] == pytest.approx(70 / math.sqrt(91 * 74))
    assert figures.errors["sqnr_db"] == pytest.approx(10 * math.log10(91 / 25))
    # Rows: (4, 2) for (1, 2) is wrong, (3, 4) right, (5, 2) for (5, 6) wrong.
    assert figures.errors["top1_agreement"] == pytest.approx(1 / 3)
    assert (figures.nan_count, figures.inf_count, figures.nonfinite_mismatch) == (0, 0, 0)
    assert figures.shape_match
    assert figures.dtype_match


def test_equal_outputs_have_no_error_at_all() -> None:
    figures = compare(REFERENCE.copy(), REFERENCE)
    assert errors(figures) == [0, 0, 0, 0, 0, 1, SQNR_CAP_DB, 1]


def test_an_artifact_of_zeros_is_wholly_wrong() -> None:
    figures = compare(np.zeros_like(REFERENCE), REFERENCE)
    assert figures.errors["signal_error"] == pytest.approx(math.sqrt(91) / 4)
    assert figures.errors["cosine"] == 0
    assert figures.errors["sqnr_db"] == pytest.approx(0)
    assert figures.errors["max_rel"] == pytest.approx(1)


def test_a_constant_part_hides_nothing_from_signal_error() -> None:
    """The case that cosine is blind to: the answer is the bias, whatever the input."""
    reference = REFERENCE + 1e4
    dead = np.broadcast_to(reference.mean(axis=0), reference.shape).astype(np.float32)
    figures = compare(dead, reference)
    assert figures.errors["cosine"] is not None
    assert figures.errors["cosine"] > 0.99999
    assert figures.errors["signal_error"] == pytest.approx(1, rel=1e-3)


def test_zeros_in_the_reference_are_measured_by_the_outputs_usual_size() -> None:
    reference = np.array([[0.0], [2.0]])
    figures = compare(np.array([[0.1], [2.0]]), reference)
    assert figures.errors["max_rel"] == pytest.approx(0.1 / math.sqrt(2))


@pytest.mark.parametrize(
    ("artifact", "nan", "inf", "mismatch"),
    [
        ([[NAN, 2], [3, 4], [5, 6]], 1, 0, 1),
        ([[NAN, NAN], [NAN, NAN], [NAN, NAN]], 6, 0, 6),
        ([[INF, 2], [3, 4], [5, 6]], 0, 1, 1),
        ([[-INF, 2], [3, NAN], [5, 6]], 1, 1, 2),
    ],
)
def test_values_that_are_not_finite_leave_no_error_figure(
    artifact: list[list[float]], nan: int, inf: int, mismatch: int
) -> None:
    figures = compare(np.array(artifact, dtype=np.float32), REFERENCE)
    assert errors(figures) == [None] * len(FIGURES)
    assert (figures.nan_count, figures.inf_count, figures.nonfinite_mismatch) == (
        nan,
        inf,
        mismatch,
    )


def test_equal_infinities_agree_and_are_left_out() -> None:
    reference = np.array([[1.0, -INF], [3.0, -INF]])
    figures = compare(np.array([[1.0, -INF], [4.0, -INF]]), reference)
    assert figures.nonfinite_mismatch == 0
    assert figures.inf_count == 2
    assert figures.errors["max_abs"] == 1
    assert figures.errors["signal_error"] == pytest.approx(1 / math.sqrt(2))
    assert figures.errors["mean_abs"] == pytest.approx(1 / 2)
    assert figures.errors["top1_agreement"] == 1


@pytest.mark.parametrize("value", [INF, 7.0, NAN])
def test_an_infinity_of_the_reference_must_be_met(value: float) -> None:
    reference = np.array([[1.0, -INF], [3.0, -INF]])
    figures = compare(np.array([[1.0, value], [3.0, -INF]]), reference)
    assert figures.nonfinite_mismatch == 1
    assert figures.errors["signal_error"] is None


def test_another_shape_is_not_broadcast() -> None:
    figures = compare(REFERENCE[:, :1], REFERENCE)
    assert not figures.shape_match
    assert errors(figures) == [None] * len(FIGURES)
    assert figures.shape == (3, 1)
    assert figures.reference_shape == (3, 2)


def test_an_empty_artifact_has_another_shape() -> None:
    assert not compare(np.zeros((0, 2), dtype=np.float32), REFERENCE).shape_match


@pytest.mark.parametrize(
    ("artifact", "reference", "match"),
    [
        ("float16", "float32", True),
        ("float64", "float32", True),
        ("int32", "int64", True),
        ("uint8", "int64", True),
        ("bool", "bool", True),
        ("float32", "int64", False),
        ("int64", "float32", False),
        ("uint8", "bool", False),
    ],
)
def test_dtypes_match_by_family(artifact: str, reference: str, match: bool) -> None:
    values = np.array([[0, 1], [1, 0]])
    figures = compare(values.astype(artifact), values.astype(reference))
    assert figures.dtype_match is match
    assert figures.errors["signal_error"] == 0


def test_whole_numbers_are_compared_exactly() -> None:
    """Float64 cannot tell 2**53 from 2**53 + 1."""
    reference = np.array([[2**53], [0]], dtype=np.int64)
    figures = compare(np.array([[2**53 + 1], [0]], dtype=np.int64), reference)
    assert figures.errors["max_abs"] == 1
    assert figures.errors["signal_error"]


def test_whole_numbers_do_not_wrap() -> None:
    reference = np.array([[0], [1]], dtype=np.uint8)
    assert compare(np.array([[255], [0]], dtype=np.uint8), reference).errors["max_abs"] == 255


def test_booleans() -> None:
    reference = np.array([[True, False], [False, False]])
    figures = compare(np.array([[True, True], [False, False]]), reference)
    assert figures.errors["max_abs"] == 1
    assert figures.errors["mean_abs"] == 0.25
    assert figures.errors["top1_agreement"] is None


def test_float16_is_compared_in_float64() -> None:
    """In float16 the squares would overflow at 256."""
    reference = np.array([[300.0], [400.0]], dtype=np.float16)
    figures = compare(reference + np.float16(1), reference)
    assert figures.errors["rmse"] == 1


@pytest.mark.parametrize(
    ("out", "ref", "agreement"),
    [
        ([[1, 0], [0, 1]], [[2, 1], [1, 2]], 1.0),
        ([[0, 1], [0, 1]], [[2, 1], [1, 2]], 0.5),
        # Any of several greatest elements of the reference is right.
        ([[0, 1, 0], [0, 0, 1]], [[5, 5, 1], [0, 0, 1]], 1.0),
        ([[0, 0, 1], [0, 0, 1]], [[5, 5, 1], [0, 0, 1]], 0.5),
        # An artifact whose scores all tie says the first class.
        ([[1, 1], [1, 1]], [[2, 1], [1, 2]], 0.5),
    ],
)
def test_top1_agreement(out: list[list[float]], ref: list[list[float]], agreement: float) -> None:
    assert compare(np.array(out, float), np.array(ref, float)).errors["top1_agreement"] == agreement


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_score_is_no_class(shape: tuple[int, ...]) -> None:
    reference = np.arange(4.0).reshape(shape)
    assert compare(reference, reference).errors["top1_agreement"] is None


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (np.float32(1), "fewer than two samples"),
        (np.zeros((1, 3)), "fewer than two samples"),
        (np.zeros((0, 3)), "fewer than two samples"),
        (np.zeros((2, 0)), "no elements"),
        (np.zeros((4, 3)), "does not vary"),
        (np.full((4, 3), 7), "does not vary"),
        (np.full((4, 3), -INF), "does not vary"),
        (np.array([[1.0, NAN], [2.0, 3.0]]), "1 NaN"),
        (np.array([[1e200], [0.0]]), "beyond"),
        (np.array([["a"], ["b"]]), "not compared"),
        (np.array([[1j], [2j]]), "not compared"),
    ],
)
def test_references_that_allow_no_judgement(reference: Any, said: str) -> None:
    with pytest.raises(VerifyError) as caught:
        compare(np.asarray(reference), np.asarray(reference), "logits")
    assert said in caught.value.message
    assert "`logits`" in caught.value.message
    assert caught.value.hint


def test_rounding_alone_is_no_variation() -> None:
    """A dead network whose outputs differ in the last bit only, as kernels of other batches give."""
    reference = np.full((4, 3), 7, dtype=np.float32)
    reference[0, 0] = np.nextafter(np.float32(7), np.float32(8))
    with pytest.raises(VerifyError, match="does not vary"):
        compare(reference, reference)


def test_values_beyond_float64_have_no_figure_rather_than_an_infinite_one() -> None:
    artifact = np.array([[1.7e308, -1.7e308], [1.7e308, 3.0]])
    figures = compare(artifact, np.array([[1.0, 2.0], [2.0, 3.0]]))
    assert figures.errors["signal_error"] is None
    assert figures.errors["cosine"] is None


@pytest.mark.parametrize("scale", [1e-160, 1e-30, 1.0, 1e30, 1e140])
def test_squares_neither_vanish_nor_overflow(scale: float) -> None:
    reference = REFERENCE.astype(np.float64) * scale
    figures = compare(reference * 1.5, reference)
    assert figures.errors["signal_error"] == pytest.approx(0.5 * math.sqrt(91) / 4)
    assert figures.errors["cosine"] == pytest.approx(1)
    assert figures.errors["sqnr_db"] == pytest.approx(20 * math.log10(2))


def arrays_of(low: float, high: float) -> st.SearchStrategy[NDArray[np.float64]]:
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=4)
    return hnp.arrays(np.float64, shapes, elements=st.floats(low, high, width=32))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An artifact's output, and a reference that varies."""
    reference = draw(arrays_of(-100, 100))
    reference.flat[0] = 1000.0  # One element far from the others: it varies.
    error = draw(hnp.arrays(np.float64, reference.shape, elements=st.floats(-10, 10, width=32)))
    return reference + error, reference


@unhurried
@given(pairs())
def test_equal_is_zero(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    figures = compare(pair[1].copy(), pair[1])
    assert errors(figures)[:7] == [0, 0, 0, 0, 0, 1, SQNR_CAP_DB]


@unhurried
@given(pairs(), st.integers(-30, 30))
def test_scaling_both_changes_nothing_relative(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], exponent: int
) -> None:
    scale = 2.0**exponent
    before, after = compare(*pair), compare(pair[0] * scale, pair[1] * scale)
    for name in ("signal_error", "max_rel", "cosine", "sqnr_db", "top1_agreement"):
        assert after.errors[name] == near(before.errors[name]), name
    for name in ("max_abs", "mean_abs", "rmse"):
        figure = before.errors[name]
        assert figure is not None
        assert after.errors[name] == near(figure * scale), name


@unhurried
@given(pairs(), st.floats(-1000, 1000))
def test_a_constant_added_to_both_leaves_signal_error(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], constant: float
) -> None:
    before = compare(*pair).errors["signal_error"]
    after = compare(pair[0] + constant, pair[1] + constant).errors["signal_error"]
    assert after == pytest.approx(before, rel=1e-6, abs=1e-9)


@unhurried
@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], random: Any
) -> None:
    order = list(range(len(pair[0])))
    random.shuffle(order)
    before, after = compare(*pair), compare(pair[0][order], pair[1][order])
    assert errors(after) == [near(value) for value in errors(before)]


@unhurried
@given(pairs())
def test_the_figures_are_related_as_their_definitions_say(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    figures = compare(*pair)
    assert figures.errors["rmse"] is not None
    assert figures.errors["max_abs"] is not None
    assert figures.errors["mean_abs"] is not None
    slack = 1 + 1e-9
    assert (
        figures.errors["mean_abs"]
        <= figures.errors["rmse"] * slack
        <= figures.errors["max_abs"] * slack * slack
    )
    # numpy's own formula, unscaled.
    error = np.linalg.norm((pair[0] - pair[1]).ravel())
    signal = np.linalg.norm((pair[1] - pair[1].mean(axis=0)).ravel())
    assert figures.errors["signal_error"] == pytest.approx(error / signal, rel=1e-9)


@unhurried
@given(pairs(), st.integers(0, 10**6), st.sampled_from([NAN, INF, -INF]))
def test_one_stray_value_leaves_no_figure(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], place: int, value: float
) -> None:
    out = pair[0].copy()
    out.flat[place % out.size] = value
    assert errors(compare(out, pair[1])) == [None] * len(FIGURES)
