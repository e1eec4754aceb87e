"""The harness over timm's families goes on where it was stopped, and tells false alarms from faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import buildsys
from benchmarks.timm_zoo import __main__ as harness
from benchmarks.timm_zoo import project, record
from benchmarks.timm_zoo.families import FAMILIES, HARD
from benchmarks.zoo import two_parts
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.gate import Gate

VERIFIED = {"status": "verified", "traced": 1.0, "untried": 0}
ALTERED = {"status": "rejected", "cause": "weights is 1", "bounds": ["weights"], "traced": 0.9}
WRONG = {"status": "rejected", "cause": "NaN", "bounds": ["finite", "signal_error"]}


@pytest.mark.parametrize("family", ["levit", "regnet", "beit"])
def test_its_projects_are_recipes(family: str, tmp_path: Path) -> None:
    spec = buildsys.load(project.write(tmp_path, family)).spec
    assert list(spec.models) == [family]
    assert len(spec.targets["server"]) == len(project.ENTRIES)
    again = buildsys.load(project.write(tmp_path, family, ["onnx"], project.OTHER_SEED)).spec
    assert again.models[family].source.args == {
        "name": FAMILIES[family].model,
        **FAMILIES[family].sizes,
    }


def test_the_hard_families_are_known() -> None:
    assert set(HARD) <= set(FAMILIES)
    assert len(HARD) >= 8


def test_a_run_begins_with_the_smallest() -> None:
    sizes = [family.millions for family in FAMILIES.values()]
    assert sizes == sorted(sizes)
    assert len(FAMILIES) >= 90


def test_a_rejection_is_confirmed_by_outputs_on_other_inputs_alone() -> None:
    assert record.confirmed(WRONG, WRONG)
    assert not record.confirmed(WRONG, VERIFIED)
    assert not record.confirmed(ALTERED, ALTERED), "the same constant would fail again"
    found = {"levit": {"onnx": VERIFIED, "tflite": {**ALTERED, "confirmed": False}}}
    assert record.alarms(found) == ["levit.tflite: weights is 1"]
    assert "**not confirmed**" in record.document(found)
    found["levit"]["tflite"] = {**WRONG, "confirmed": True}
    assert record.alarms(found) == []


def test_a_rejection_for_the_precision_is_told_from_a_fault() -> None:
    def measured(floor: float) -> Measurement:
        costs = {"float16": {"y": {"signal_error": floor}}}
        return Measurement.of({"outputs": {}, "floor": costs})

    gates = (Gate("signal_error", "y", 0.15, 0.256, passed=False),)
    wanted: Any = SimpleNamespace(quantized=SimpleNamespace(scheme="float16"))
    told = Verdict(wanted, Status.REJECTED, "y is off", gates=gates, measurement=measured(0.2561))
    found = record.cell(told, 1.26)
    assert (found["floor"], found["limit"], found["seconds"]) == (0.256, 0.15, 1.3)
    assert record.is_of_precision(found)
    shown = record.document({"levit": {"coreml": {**found, "confirmed": True}}})
    assert "1 are the precision's doing" in shown
    assert "The precision itself costs the original 0.256 in torch" in shown
    cheap = replace(told, measurement=measured(0.01))
    assert not record.is_of_precision(record.cell(cheap))
    assert not record.is_of_precision({**found, "bounds": ["finite", "signal_error"]})


def test_two_tools_fill_one_document(tmp_path: Path) -> None:
    document = tmp_path / "coverage.md"
    two_parts.write(document, zoo="zoo 1\n")
    assert document.read_text() == "zoo 1\n"
    two_parts.write(document, timm="timm 1\n")
    two_parts.write(document, zoo="zoo 2\n")
    assert two_parts.parts(document.read_text()) == ("zoo 2\n", "timm 1\n")


def test_a_run_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "timm.json")
    monkeypatch.setattr(record, "DOCUMENT", tmp_path / "timm.md")
    looked: list[str] = []

    def row(family: str, jobs: int) -> dict[str, dict[str, Any]]:
        looked.append(family)
        if family == "repvit":
            raise KeyboardInterrupt
        return dict.fromkeys(project.ENTRIES, VERIFIED)

    def again(family: str, jobs: int) -> dict[str, dict[str, Any]]:
        looked.append(family)
        return {"onnx": VERIFIED}

    monkeypatch.setattr(harness, "looked_at", row)
    wanted = ["--family", "levit", "--family", "repvit", "--family", "regnet"]
    with pytest.raises(KeyboardInterrupt):
        harness.main(wanted)
    assert list(json.loads(record.RESULTS.read_text())) == ["levit"]
    monkeypatch.setattr(harness, "looked_at", again)
    assert harness.main(wanted) == 0
    assert looked == ["levit", "repvit", "repvit", "regnet"]
    assert "**6 of 6 artifacts of 3 of" in record.DOCUMENT.read_text()
    assert "levit" in capsys.readouterr().out


def test_the_document_is_made_of_the_results() -> None:
    found = json.loads(record.RESULTS.read_text())
    assert two_parts.parts(record.DOCUMENT.read_text())[1] == record.document(found)
    assert record.alarms(found) == []
