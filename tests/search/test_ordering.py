"""What is milder than what, and how small something can become."""

from __future__ import annotations

from typing import Any

import pytest

from buildsys.recipe.schema.quantization import Quantization
from buildsys.search.ordering import Sizes, bits, milder, severity

DATA = {"dataset": "d"}


def profile(scheme: str, **given: Any) -> Quantization:
    return Quantization.model_validate({"scheme": scheme, **given})


W8 = profile("weight-only")


@pytest.mark.parametrize(
    "harsher",
    [
        profile("weight-only", bits=4),
        profile("weight-only", per_channel=False),
        profile("dynamic"),
        profile("static", calibration=DATA),
        profile("dynamic", bits=4, per_channel=False),
        profile("weight-only", sparsity=0.5, bits=8),
    ],
)
def test_what_loses_more_in_some_respect_and_less_in_none_is_more_aggressive(
    harsher: Quantization,
) -> None:
    assert milder(W8, harsher)
    assert not milder(harsher, W8)


@pytest.mark.parametrize(
    "other",
    [
        W8,
        profile("float16"),
        profile("weight-only", palette="kmeans"),
        profile("weight-only", bits=4, keep_float=["head"]),
        profile("weight-only", bits=4, block_size=32),
        profile("mixed", layers={"head": "w8"}, default="w8"),
    ],
)
def test_what_cannot_be_compared_is_not(other: Quantization) -> None:
    assert not milder(W8, other)
    assert not milder(other, W8)


def test_ranges_that_are_taken_otherwise_are_not_compared() -> None:
    wide = profile("static", calibration=DATA)
    narrow = profile("static", bits=4, calibration={**DATA, "method": "percentile"})
    assert not milder(wide, narrow)
    assert milder(wide, profile("static", bits=4, calibration=DATA))


def test_the_mildest_of_a_width_comes_first() -> None:
    found = sorted(
        [
            profile("static", calibration=DATA),
            profile("weight-only", per_channel=False),
            profile("dynamic"),
            profile("static", calibration=DATA, activations="int16"),
            W8,
        ],
        key=severity,
    )
    assert [(each.scheme, each.activations, each.per_channel) for each in found] == [
        ("weight-only", None, True),
        ("weight-only", None, False),
        ("static", "int16", True),
        ("dynamic", None, True),
        ("static", None, True),
    ]


def test_what_weights_become_at_best() -> None:
    sizes = Sizes(bytes=1000, weights=800)
    assert [sizes.least(width) for width in (32, 16, 8, 4)] == [1000, 600, 400, 300]
    assert bits(profile("float16")) == 16
    assert bits(profile("weight-only", bits=4)) == 4
    assert bits(profile("weight-only", sparsity=0.75)) == 8
