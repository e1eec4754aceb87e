"""`keep_float` with `float16`: operations that stay float32, with the constants that only they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backends.coreml.packages import convert, inspect

pytestmark = pytest.mark.toolchain

LEAST = -3.4028234663852886e38


@pytest.fixture(scope="module")
def plain(masked: Path) -> dict[str, Any]:
    return inspect(convert(masked, "masked", scheme="float16").artifact)


def test_the_least_float32_becomes_an_infinity_where_nothing_is_kept(plain: dict[str, Any]) -> None:
    assert plain["infinite"] == [-float("inf")]


def test_a_module_is_kept_with_the_constants_that_only_it_takes(masked: Path) -> None:
    done = convert(masked, "masked", scheme="float16", keep_float=["masking"])
    found = inspect(done.artifact)
    assert (found["infinite"], found["least"]) == ([], LEAST)
    kept = [kind for _, kind, dtype in found["typed"] if dtype == "FLOAT32" and kind != "cast"]
    assert sorted(kept) == ["mul", "sub"]
    halves = {kind for _, kind, dtype in found["typed"] if dtype == "FLOAT16"}
    assert {"linear", "matmul", "softmax", "gather"} <= halves
    # Where the mask is still one of integers there is nothing to keep.
    assert "2 of 15 operations stay float32 by `keep_float`" in done.notes


def test_what_is_below_a_module_and_names_in_the_package_fit_too(
    masked: Path, plain: dict[str, Any]
) -> None:
    (named,) = [name for name, kind, _ in plain["typed"] if kind == "softmax"]
    globs = ["attention.query.*", named]
    found = inspect(convert(masked, "masked", scheme="float16", keep_float=globs).artifact)["typed"]
    kept = [kind for _, kind, dtype in found if dtype == "FLOAT32" and kind != "cast"]
    assert sorted(kept) == ["linear", "softmax"]


def test_a_glob_that_fits_nothing_is_an_error_with_the_nearest(masked: Path) -> None:
    wrong = convert(masked, "masked", scheme="float16", keep_float=["atention"])
    assert wrong.field == "quantization.keep_float"
    assert wrong.message.startswith(
        "`atention` fits no operation of the model; near it: `attention"
    )
