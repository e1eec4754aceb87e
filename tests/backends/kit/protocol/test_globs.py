"""Globs over names of layers."""

from __future__ import annotations

import pytest

from buildsys.backends.kit.protocol.globs import fitting
from buildsys.backends.kit.protocol.request import StepError

LAYERS = {
    "/body/0/Conv": ["body.0.Conv", "/body/0/Conv"],
    "/body/1/Conv": ["body.1.Conv", "/body/1/Conv"],
    "/head/Gemm": ["head.Gemm", "/head/Gemm", "head.weight"],
}


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], []),
        (["head.*"], ["/head/Gemm"]),
        (["/head/*", "*.0.*"], ["/body/0/Conv", "/head/Gemm"]),
        (["head.w?ight"], ["/head/Gemm"]),
        (["body.[01].Conv"], ["/body/0/Conv", "/body/1/Conv"]),
        (["*"], list(LAYERS)),
    ],
)
def test_a_glob_fits_whole_names(patterns: list[str], found: list[str]) -> None:
    assert fitting(patterns, LAYERS, "fits no layer") == found


def test_a_dot_may_stand_for_another_sign() -> None:
    names = {name: [name] for name in ("head_weight", "body_0_weight")}
    assert fitting(["head.*"], names, "matches no weight", dot="_") == ["head_weight"]


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("haed.*", "near it: `head.Gemm`"),
        ("head", "near it: `head.Gemm`"),  # A part of a name is not enough.
        ("xyz", "there are: `body.0.Conv`, `body.1.Conv`, `head.Gemm`"),
    ],
)
def test_one_that_fits_none_is_told_the_nearest(pattern: str, shown: str) -> None:
    with pytest.raises(StepError) as caught:
        fitting(["head.*", pattern], LAYERS, "fits no layer", "look")
    assert caught.value.message == f"`{pattern}` fits no layer; {shown}"
    assert (caught.value.hint, caught.value.field) == ("look", "quantization.keep_float")
