"""Selectors."""

from __future__ import annotations

import pytest

from buildsys.planner.selectors import NoMatch, select

LABELS = ["ios/a.coreml-fp16", "ios/a.onnx", "android/a.tflite", "android/a.tflite-int8"]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ([], LABELS),
        (["ios"], LABELS[:2]),
        (["android/a.tflite"], [LABELS[2]]),
        (["*/a.tflite*"], LABELS[2:]),
        (["android", "ios/a.onnx"], LABELS[1:]),
    ],
)
def test_select(selectors: list[str], expected: list[str]) -> None:
    assert select(selectors, LABELS) == expected


def test_what_matches_nothing_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(NoMatch) as caught:
        select(["ios", "andriod"], LABELS)
    assert caught.value.message == "no deployable matches `andriod`"
    assert caught.value.hint == "did you mean `android`?"
