"""Tensors as JSON: what is taken, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.serve.wire import Refused, array_of, decode, encode, parse

DIMS = {"N": {"min": 1, "max": 4}}
IMAGE = {"name": "image", "shape": ["N", 2], "dtype": "float32", "dims": DIMS}
IDS = {"name": "ids", "shape": ["N"], "dtype": "int32", "dims": DIMS, "range": [0, 9]}
FLAG = {"name": "flag", "shape": [], "dtype": "bool", "dims": {}}
PORTS: list[dict[str, Any]] = [IMAGE, IDS, FLAG]
GOOD = {"image": [[1, 2.5], [3, -4]], "ids": [0, 9], "flag": True}


def decoded(nonfinite: bool = False, **changed: Any) -> dict[str, Any]:
    given = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    return decode({"inputs": given}, PORTS, nonfinite)


def test_arrays_of_the_contracts_dtypes() -> None:
    got = decoded()
    assert {name: (a.dtype.name, a.shape) for name, a in got.items()} == {
        "image": ("float32", (2, 2)),
        "ids": ("int32", (2,)),
        "flag": ("bool", ()),
    }
    assert got["image"].tolist() == GOOD["image"]
    assert got["ids"].tolist() == [0, 9]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"picture": [1]},
            "input `picture`: there is no such input; the model takes `image`, `ids`",
        ),
        ({"ids": None}, "input `ids`: is missing; the model takes `image`, `ids`, `flag`"),
        ({"image": [1.0, 2.0]}, "input `image`: has 1 axes, and must have 2: [N, 2]"),
        ({"image": [[[1.0]]]}, "input `image`: has 3 axes, and must have 2: [N, 2]"),
        ({"image": [[1.0], [2.0]]}, "input `image`: axis 1 has the size 1, and must have 2"),
        ({"image": [[1, 2]] * 5}, "input `image`: axis 0 (`N`) has the size 5, and takes 1 to 4"),
        ({"image": []}, "input `image`: has 1 axes, and must have 2: [N, 2]"),
        ({"ids": []}, "input `ids`: axis 0 (`N`) has the size 0, and takes 1 to 4"),
        ({"ids": [1, 2, 3]}, "input `ids`: `N` is 3 here and 2 in `image`"),
        ({"image": [[1, 2], [3]]}, "input `image`: is ragged: 1 entries at [1], others hold 2"),
        ({"image": [[1, 2], 3]}, "input `image`: is ragged: no list at [1], others hold 2"),
        (
            {"image": [[1, 2], [3, [4]]]},
            "input `image`: takes float32, and [4] at [1, 1] is not one",
        ),
        (
            {"image": [[1, 2], [3, "x"]]},
            'input `image`: takes float32, and "x" at [1, 1] is not one',
        ),
        (
            {"image": [[1, True], [3, 4]]},
            "input `image`: takes float32, and true at [0, 1] is not one",
        ),
        (
            {"image": [[1, None], [3, 4]]},
            "input `image`: takes float32, and null at [0, 1] is not one",
        ),
        (
            {"image": [[1, 2], [1e39, 4]]},
            "input `image`: the number at [1, 0] is not finite, or too",
        ),
        (
            {"image": [[1, 2], [10**400, 4]]},
            "input `image`: holds a number that float32 cannot hold",
        ),
        ({"image": [[1, 2], ["NaN", 4]]}, "input `image`: NaN at [1, 0]: numbers must be finite"),
        ({"ids": [1, 2.0]}, "input `ids`: takes int32, and 2.0 at [1] is not one"),
        ({"ids": [1, True]}, "input `ids`: takes int32, and true at [1] is not one"),
        ({"ids": [1, 10]}, "input `ids`: 10 at [1] is not within 0..9"),
        ({"ids": [1, 2**40]}, f"input `ids`: {2**40} at [1] is not within 0..9"),
        ({"flag": 1}, "input `flag`: takes bool, and 1 at [] is not one"),
        ({"flag": [True]}, "input `flag`: has 1 axes, and must have 0: []"),
    ],
)
def test_a_request_against_the_contract_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        decoded(**changed)
    assert str(refused.value).startswith(message)
    assert f"`{refused.value.input}`" in message


@pytest.mark.parametrize("body", [[], 3, {}, {"inputs": []}, {"inputs": None}])
def test_a_body_of_another_form_is_refused(body: Any) -> None:
    with pytest.raises(Refused, match="the body must be an object"):
        decode(body, PORTS, nonfinite=False)


def test_nothing_beside_the_inputs() -> None:
    with pytest.raises(Refused, match="`signature` is unknown"):
        decode({"inputs": GOOD, "signature": "x"}, PORTS, nonfinite=False)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 200_000, "the body is not JSON"),
        (b"[NaN]", "`NaN` is not JSON"),
        (b"[-Infinity]", "`-Infinity` is not JSON"),
    ],
)
def test_what_is_no_json(body: bytes, message: str) -> None:
    with pytest.raises(Refused, match=message):
        parse(body)


def test_numbers_beyond_a_double_are_refused() -> None:
    body = parse(b'{"inputs": {"image": [[1e999, 0]], "ids": [0], "flag": false}}')
    with pytest.raises(Refused, match=r"the number at \[0, 0\] is not finite, or too large"):
        decode(body, PORTS, nonfinite=False)


def test_what_is_not_finite_is_taken_where_it_is_allowed() -> None:
    got = decoded(nonfinite=True, image=[["NaN", "Infinity"], ["-Infinity", 1]])
    assert np.isnan(got["image"][0, 0])
    assert got["image"][0, 1] == np.inf
    assert got["image"][1].tolist() == [-np.inf, 1]
    with pytest.raises(Refused, match="takes float32"):
        decoded(nonfinite=True, image=[["nan", 1], [1, 1]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
def test_arrays_survive(dtype: str) -> None:
    array = (np.random.default_rng(3).standard_normal((3, 2)) * 50).astype(dtype)
    again = array_of(json.loads(json.dumps(encode(array), allow_nan=False)), dtype)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_what_is_not_finite_survives() -> None:
    array = np.array([[np.nan, np.inf], [-np.inf, 0.1]], np.float32)
    said = encode(array)
    assert said[0] == ["NaN", "Infinity"]
    np.testing.assert_array_equal(array_of(json.loads(json.dumps(said)), "float32"), array)
