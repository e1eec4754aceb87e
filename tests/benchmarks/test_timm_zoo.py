"""The harness over timm's families goes on where it was stopped, and tells false alarms from faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import buildsys
from benchmarks.timm_zoo import __main__ as harness
from benchmarks.timm_zoo import project, record
from benchmarks.timm_zoo.families import FAMILIES, HARD

VERIFIED = {"status": "verified", "traced": 1.0, "untried": 0}
ALTERED = {"status": "rejected", "cause": "weights is 1", "bounds": ["weights"], "traced": 0.9}
WRONG = {"status": "rejected", "cause": "NaN", "bounds": ["finite", "signal_error"]}


@pytest.mark.parametrize("family", ["levit", "regnet"])
def test_its_projects_are_recipes(family: str, tmp_path: Path) -> None:
    spec = buildsys.load(project.write(tmp_path, family)).spec
    assert list(spec.models) == [family]
    assert len(spec.targets["server"]) == len(project.ENTRIES)
    buildsys.load(project.write(tmp_path, family, ["onnx"], project.OTHER_SEED))


def test_the_hard_families_are_known() -> None:
    assert set(HARD) <= set(FAMILIES)
    assert len(HARD) >= 8


def test_a_rejection_is_confirmed_by_outputs_on_other_inputs_alone() -> None:
    assert record.confirmed(WRONG, WRONG)
    assert not record.confirmed(WRONG, VERIFIED)
    assert not record.confirmed(ALTERED, ALTERED), "the same constant would fail again"
    found = {"levit": {"onnx": VERIFIED, "tflite": {**ALTERED, "confirmed": False}}}
    assert record.alarms(found) == ["levit.tflite: weights is 1"]
    assert "**not confirmed**" in record.document(found)
    found["levit"]["tflite"] = {**WRONG, "confirmed": True}
    assert record.alarms(found) == []


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
    if not record.RESULTS.exists():
        pytest.skip("no family was built yet: `make test-zoo`")
    found = json.loads(record.RESULTS.read_text())
    assert record.DOCUMENT.read_text() == record.document(found)
    assert record.alarms(found) == []
