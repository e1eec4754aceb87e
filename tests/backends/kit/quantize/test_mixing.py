"""What each layer gets of a profile."""

from __future__ import annotations

from typing import Any

import pytest

from buildsys.backends.kit.protocol.request import StepError
from buildsys.backends.kit.quantize.mixing import Layer, resolved

W8 = {"scheme": "weight-only", "bits": 8}
W4 = {"scheme": "weight-only", "bits": 4}
KEPT = {**W8, "keep_float": ["*.1.*"]}
MODEL = {
    "/body/0/Conv": Layer(["body.0.Conv", "/body/0/Conv", "body.0.weight"], "Conv"),
    "/body/1/Conv": Layer(["body.1.Conv", "/body/1/Conv", "body.1.weight"], "Conv"),
    "/head/Gemm": Layer(["head.Gemm", "/head/Gemm", "head.weight"], "Gemm"),
}


def mixed(*layers: tuple[str, Any], default: Any = None) -> dict[str, Any]:
    """A `mixed` profile as a step is told of it."""
    return {"scheme": "mixed", "layers": [list(each) for each in layers], "default": default}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (W8, [W8, W8, W8]),
        ({**W8, "keep_float": ["head.*"]}, [0, 0, None]),
        ({**W8, "keep_float": ["type:Conv"]}, [None, None, 0]),
        (mixed(("head.*", W4), default=W8), [W8, W8, W4]),
        (mixed(("head.*", W4)), [None, None, W4]),
        (mixed(("type:Conv", W8), ("*", W4)), [W8, W8, W4]),
        (mixed(("type:*", W8)), [W8, W8, W8]),
        (mixed(("head.weight", None), default=W8), [W8, W8, None]),
        (mixed(("body.0.*", W4), ("body.*", None), default=W8), [W4, None, W8]),
        # What a profile keeps in float are layers that it would have got.
        (mixed(("head.*", W4), default=KEPT), [KEPT, None, W4]),
        (mixed(("body.1.*", W4), default=KEPT), [KEPT, W4, KEPT]),
        (mixed(("body.*", KEPT)), [KEPT, None, None]),
    ],
)
def test_the_first_fit_holds(wanted: Any, found: list[Any]) -> None:
    expected = [wanted if each == 0 else each for each in found]
    assert resolved(wanted, MODEL, "fits no layer") == dict(zip(MODEL, expected, strict=True))


def test_a_dot_may_stand_for_another_sign_but_not_in_types() -> None:
    layers = {"a": Layer(["head_0"], "aten.linear"), "b": Layer(["body_0"], "aten.conv2d")}
    wanted = mixed(("head.*", W4), ("type:aten.conv*", W8))
    assert resolved(wanted, layers, "fits none", dot="_") == {"a": W4, "b": W8}


@pytest.mark.parametrize(
    ("wanted", "message", "field"),
    [
        (
            mixed(("haed.*", W4)),
            "`haed.*` fits no layer; near it: `head.Gemm`",
            "quantization.layers",
        ),
        (
            mixed(("type:Gem", W4), default=W8),
            "`type:Gem` fits no layer; near it: `type:Gemm`, `type:Conv`",
            "quantization.layers",
        ),
        (
            mixed(("body.*", W4), ("body.0.*", None)),
            "`body.0.*` holds for no layer: `body.*` before it fits all of its layers",
            "quantization.layers",
        ),
        (
            {**W8, "keep_float": ["type:conv"]},
            "`type:conv` fits no layer; near it: `type:Conv`, `type:Gemm`",
            "quantization.keep_float",
        ),
        (
            mixed(("head.*", {**W8, "keep_float": ["xyz"]})),
            "`xyz` fits no layer; there are: `body.0.Conv`, `body.1.Conv`, `head.Gemm`",
            "quantization.keep_float",
        ),
    ],
)
def test_a_glob_that_means_nothing_is_an_error(wanted: Any, message: str, field: str) -> None:
    with pytest.raises(StepError) as caught:
        resolved(wanted, MODEL, "fits no layer", "look")
    assert (caught.value.message, caught.value.field) == (message, field)
