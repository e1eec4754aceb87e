"""Every scheme that a library makes is compared with it, or is named; the record holds what is claimed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import buildsys
from benchmarks.quantization import __main__ as program
from benchmarks.quantization import document
from benchmarks.quantization.cases import ANY, FORMATS, LEFT_OUT, compared, left_out
from buildsys.planner.catalog import Catalog, load_built_in

RECORD: dict[str, Any] = json.loads(document.RESULTS.read_text())


def made_by_libraries() -> Iterator[tuple[str, str]]:
    """Each format with each of its schemes for which a library is used."""
    catalog = Catalog.load(load_built_in())
    for name in catalog.deployable_formats():
        for scheme in catalog.formats[name].schemes:
            if scheme.library:
                yield name, scheme.name


def test_every_scheme_is_compared_or_named() -> None:
    for name, scheme in made_by_libraries():
        reason = left_out(name, scheme)
        if scheme in compared(name):
            assert reason is None, f"{name} {scheme} is compared, and left out"
        else:
            assert reason, f"{name} {scheme} is neither in FORMATS nor in LEFT_OUT"
    for name, scheme in LEFT_OUT:
        fit = [
            each
            for each in made_by_libraries()
            if name in (ANY, each[0]) and scheme in (ANY, each[1])
        ]
        assert fit, f"nothing is left out by {name} {scheme}"


def test_each_format_has_a_module() -> None:
    folder = Path(document.__file__).parent
    for name in FORMATS:
        source = (folder / f"{name}.py").read_text()
        assert "\ndef make(case: str, given: Given, target: Path) -> None:" in source
        assert "\ndef logits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:" in source


def test_formats_take_the_profiles(tmp_path: Path) -> None:
    path = program.written(tmp_path / "digits", list(FORMATS))
    deployables = buildsys.plan(buildsys.load(path)).action_graph.deployables
    profiles = [each.quantized.profile for each in deployables if each.quantized.profile]
    assert profiles == [f"{name}-{case}" for name in FORMATS for case in FORMATS[name].profiles]
    floats = {each.format for each in deployables if not each.quantized.profile}
    assert floats == {each.source for each in FORMATS.values()}


def test_the_record_holds_all_cases_and_no_fault() -> None:
    for name, declared in FORMATS.items():
        assert list(RECORD["formats"][name]) == list(declared.profiles), name
    assert list(RECORD["formats"]) == list(FORMATS)
    assert document.faults(RECORD) == []


def test_what_is_smaller_is_explained() -> None:
    assert document.smaller(RECORD) == [name for name in FORMATS if FORMATS[name].smaller]
    # A case of a format that says why may be as large; one that is larger is a fault.
    for name, case, ours, by_hand in document.rows(RECORD):
        if not FORMATS[name].smaller:
            assert document.ratio(ours, by_hand) == pytest.approx(1, abs=document.APART), case


def test_what_is_worse_is_found() -> None:
    record = copy.deepcopy(RECORD)
    row = record["formats"]["tflite"]["static-8"]
    row["ours"]["bytes"] = round(row["by_hand"]["bytes"] * 1.011)
    assert [each.split(":")[0] for each in document.faults(record)] == ["tflite static-8"]
    row["ours"]["bytes"] = row["by_hand"]["bytes"]
    row["ours"]["top1"] = row["by_hand"]["top1"] - 1 / RECORD["pictures"]
    assert document.faults(record) == [], "one picture is chance"
    row["ours"]["top1"] = row["by_hand"]["top1"] - 10 / RECORD["pictures"]
    assert [each.split(":")[0] for each in document.faults(record)] == ["tflite static-8"]
    row["ours"] |= {"top1": 1.0, "signal_error": row["by_hand"]["signal_error"] * 1.06}
    assert [each.split(":")[0] for each in document.faults(record)] == ["tflite static-8"]


def test_formats_that_were_not_asked_for_stay() -> None:
    found = {"coreml": {"weight-only-8": RECORD["formats"]["coreml"]["weight-only-8"]}}
    record = document.updated(RECORD, {"processor": "other"}, 7, found)
    assert record["formats"] == RECORD["formats"] | found
    assert list(record["formats"]) == list(FORMATS)
    assert (record["machine"], record["pictures"]) == ({"processor": "other"}, 7)
