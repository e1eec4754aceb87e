"""Which output is which, and in what order of axes, told by value."""

from __future__ import annotations

import numpy as np

from buildsys.backends.kit.export.layouts import Place, layout_after, locate

RANDOM = np.random.default_rng(0)


def runs(*shape: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    return [RANDOM.standard_normal(shape) for _ in range(2)]


def test_identity_is_no_permutation() -> None:
    values = runs(1, 3, 4, 4)
    assert locate("y", values, [{"y": v} for v in values]) == Place("y", None)


def test_square_images_are_told_apart() -> None:
    values = runs(1, 3, 4, 4)
    found = [{"y": v.transpose(0, 2, 3, 1)} for v in values]
    assert locate("y", values, found) == Place("y", (0, 2, 3, 1))
    # Height and width have equal sizes; only values tell that they were swapped.
    swapped = [{"y": v.transpose(0, 1, 3, 2)} for v in values]
    assert locate("y", values, swapped) == Place("y", (0, 1, 3, 2))


def test_swapped_names_are_found() -> None:
    first, second = runs(1, 5), runs(1, 5)
    found = [{"a": b, "b": a} for a, b in zip(first, second, strict=True)]
    assert locate("a", first, found) == Place("b", None)
    assert locate("b", second, found, taken=["b"]) == Place("a", None)


def test_other_values_are_found_nowhere() -> None:
    values = runs(1, 3, 4, 4)
    found = [{"y": v + 0.1} for v in values]
    assert locate("y", values, found) is None


def test_nan_is_equal_to_itself_only() -> None:
    holed = [np.array([1.0, np.nan]), np.array([2.0, np.nan])]
    assert locate("y", holed, [{"y": v} for v in holed]) == Place("y", None)
    assert locate("y", holed, [{"y": np.array([1.0, 1.0])}] * 2) is None


def test_layouts_are_named() -> None:
    assert layout_after("NCHW", (0, 2, 3, 1)) == "NHWC"
    assert layout_after(None, (0, 2, 1)) == "NWC"
    assert layout_after(None, (0, 2, 3, 1)) == "NHWC"
    assert layout_after(None, (0, 1, 3, 2)) is None
    assert layout_after("NCHW", None) == "NCHW"
