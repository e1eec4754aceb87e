"""What is told of an error that somebody else raised."""

from __future__ import annotations

import pytest

from buildsys.backends.kit.protocol.cause import first_lines
from buildsys.backends.kit.protocol.request import StepError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("\n out of range\n\n in kernel 7\nat a\nat b"),
            "out of range in kernel 7 at a",
        ),
        (StepError("no such size", "take another"), "no such size"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 1000), "x" * 400),
    ],
)
def test_an_error_is_told_in_its_first_lines(error: Exception, said: str) -> None:
    assert first_lines(error) == said


def test_as_many_as_asked_for() -> None:
    assert first_lines(RuntimeError("one\ntwo"), 1) == "one"
