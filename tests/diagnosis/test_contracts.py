"""Which changes of an io contract break an app, one by one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from buildsys.diagnosis.contracts import changes

PICTURE = {"size": [8, 8], "fit": "crop", "scale": 0.5, "mean": [0.1], "std": [0.2]}


def port(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "shape": ["N", 3],
        "dtype": "float32",
        "layout": None,
        "artifact_name": None,
        "permutation": None,
        "kind": "array",
        "preprocess": None,
        "labels": None,
    } | more


BEFORE = {
    "inputs": [
        port("image", shape=["N", 3, 8, 8], layout="NCHW", preprocess=PICTURE),
        port("mask", shape=["N", "T"], dtype="int32"),
    ],
    "outputs": [port("scores", labels=["cat", "dog"]), port("features", shape=["N", "2*T-4"])],
}


def changed(side: str, place: int, **fields: Any) -> dict[str, Any]:
    after = deepcopy(BEFORE)
    after[side][place].update(fields)
    return after


def told(after: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(c.name, c.what, c.breaking) for c in changes(BEFORE, after)]


def test_nothing_changed() -> None:
    assert told(deepcopy(BEFORE)) == []


BREAKING: dict[str, tuple[str, int, dict[str, Any]]] = {
    "another dtype": ("inputs", 0, {"dtype": "float16"}),
    "another size": ("inputs", 0, {"shape": ["N", 3, 9, 8]}),
    "a size that is fixed now": ("inputs", 0, {"shape": [1, 3, 8, 8]}),
    "a size that varies now": ("inputs", 0, {"shape": ["N", 3, "H", 8]}),
    "another axis more": ("inputs", 1, {"shape": ["N", "T", 1]}),
    "sizes that vary together now": ("inputs", 1, {"shape": ["N", "N"]}),
    "another length": ("outputs", 1, {"shape": ["N", "2*T-2"]}),
    "another layout": ("inputs", 0, {"layout": "NHWC"}),
    "turned axes": ("inputs", 0, {"permutation": [0, 2, 3, 1]}),
    "another name in the artifact": ("outputs", 0, {"artifact_name": "Identity"}),
    "a picture in place of an array": ("inputs", 0, {"kind": "image"}),
    "labels in another order": ("outputs", 0, {"labels": ["dog", "cat"]}),
    "another label": ("outputs", 0, {"labels": ["cat", "wolf"]}),
    "labels that are gone": ("outputs", 0, {"labels": None}),
    "another mean": ("inputs", 0, {"preprocess": PICTURE | {"mean": [0.3]}}),
    "preprocessing that is gone": ("inputs", 0, {"preprocess": None}),
    "a field of a later version": ("inputs", 0, {"unit": "volt"}),
}
HARMLESS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "labels that are told now": ("outputs", 1, {"labels": ["a", "b"]}),
    "preprocessing that is told now": ("inputs", 1, {"preprocess": PICTURE}),
    "a layout that is told now": ("outputs", 0, {"layout": "NC"}),
}
SILENT: dict[str, tuple[str, int, dict[str, Any]]] = {
    "its own name in the artifact": ("outputs", 0, {"artifact_name": "scores"}),
    "axes that stay where they are": ("inputs", 0, {"permutation": [0, 1, 2, 3]}),
}


@pytest.mark.parametrize("name", [n for n in BREAKING if n != "a field of a later version"])
def test_what_breaks(name: str) -> None:
    side, place, fields = BREAKING[name]
    assert told(changed(side, place, **fields)) == [
        (BEFORE[side][place]["name"], next(iter(fields)), True)
    ]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless(name: str) -> None:
    side, place, fields = HARMLESS[name]
    assert told(changed(side, place, **fields)) == [
        (BEFORE[side][place]["name"], next(iter(fields)), False)
    ]


@pytest.mark.parametrize("name", SILENT)
def test_what_is_no_change(name: str) -> None:
    side, place, fields = SILENT[name]
    assert told(changed(side, place, **fields)) == []


def test_a_field_that_is_not_known_breaks_once_it_was_there() -> None:
    side, place, fields = BREAKING["a field of a later version"]
    assert told(changed(side, place, **fields)) == [("image", "unit", False)]
    (change,) = changes(changed(side, place, **fields), BEFORE)
    assert change.breaking


def test_symbols_may_have_other_names() -> None:
    after = deepcopy(BEFORE)
    for name, shape in (("image", ["B", 3, 8, 8]), ("mask", ["B", "L"])):
        next(p for p in after["inputs"] if p["name"] == name)["shape"] = shape
    after["outputs"][0]["shape"] = ["B", 3]
    after["outputs"][1]["shape"] = ["B", "2*L-4"]
    assert [(c.what, c.breaking) for c in changes(BEFORE, after)] == [("shape", False)] * 4


def test_an_input_more_breaks_and_an_output_more_does_not() -> None:
    after = deepcopy(BEFORE)
    after["inputs"].append(port("extra"))
    after["outputs"].append(port("more"))
    assert told(after) == [("extra", "added", True), ("more", "added", False)]


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_what_is_gone_breaks(side: str) -> None:
    after = deepcopy(BEFORE)
    gone = after[side].pop(0)
    assert told(after) == [(gone["name"], "removed", True)]


def test_another_name_in_the_same_place_is_told_as_that() -> None:
    (change,) = changes(BEFORE, changed("outputs", 0, name="logits"))
    assert (change.what, change.before, change.now) == ("renamed", "scores", "logits")
    assert change.breaking
    told_apart = told(changed("outputs", 0, name="logits", dtype="int64"))
    assert told_apart == [("scores", "removed", True), ("logits", "added", False)]


def test_another_order_breaks() -> None:
    after = deepcopy(BEFORE)
    after["outputs"].reverse()
    assert told(after) == [("features, scores", "order", True)]


def test_what_an_artifact_does_to_a_picture_itself_is_no_concern_of_the_app() -> None:
    before = changed("inputs", 0, kind="image")
    for fields, breaking in (({"mean": [0.3]}, False), ({"size": [9, 9]}, True)):
        after = changed("inputs", 0, kind="image", preprocess=PICTURE | fields)
        (change,) = changes(before, after)
        assert change.breaking is breaking


def test_an_older_contract_lacks_fields_and_means_the_same() -> None:
    older = deepcopy(BEFORE)
    older["inputs"][1] = {"name": "mask", "shape": ["N", "T"], "dtype": "int32"}
    assert changes(older, BEFORE) == []


def test_an_unknown_contract_allows_no_comparison() -> None:
    assert changes(None, BEFORE) == []
    assert changes(BEFORE, None) == []
