"""The schemas in `docs/schemas/`: the code gives them, and real output is as they say."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildsys.cli.schema import FORMS
from buildsys.engine import events
from buildsys.figures.json_form import read, to_json
from buildsys.figures.measurement import Measurement
from buildsys.release.bundle import read as read_bundle
from tests import schemas
from tests.cli.inside import Inside


@pytest.mark.parametrize("form", [form for form in FORMS if form != "recipe"])
def test_the_documents_are_what_the_code_gives(modelbuild: Inside, form: str) -> None:
    said = modelbuild("schema", form)
    assert (said.code, said.err) == (0, "")
    there = (schemas.FOLDER / f"{form}.json").read_text(encoding="utf-8")
    assert there == said.out, f"run `modelbuild schema {form} > docs/schemas/{form}.json`"


def test_real_output_is_as_they_say(modelbuild: Inside, tmp_path: Path) -> None:
    schemas.check("plan", modelbuild("plan", "--json").json())
    lines = modelbuild("build", "--json").lines()
    assert {"version", "action_started", "action_finished", "gate"} < {e["event"] for e in lines}
    for line in [*lines, *modelbuild("build", "--json").lines()]:
        schemas.check("build", line)
    schemas.check("plan", modelbuild("plan", "--json").json())
    report = json.loads((modelbuild.space.project / "artifacts" / "report.json").read_text())
    assert len(report["deployables"]) > 1
    schemas.check("report", report)
    made = modelbuild(
        "bundle", "create", "android", "--release", "1.0", "--to", str(tmp_path), "--self-test"
    )
    assert made.code == 0, made.err
    (archive,) = tmp_path.glob("*.zst")
    schemas.check("manifest", read_bundle(archive).manifest)


def test_a_failed_build_is_as_they_say(modelbuild: Inside) -> None:
    modelbuild.space.write("model.py", "raise ValueError('broken')\n")
    said = modelbuild("build", "--json", "-k")
    assert said.code == 1
    assert {e.get("severity") for e in said.lines()} > {"error"}
    for line in said.lines():
        schemas.check("build", line)
    report = json.loads((modelbuild.space.project / "artifacts" / "report.json").read_text())
    assert {entry["status"] for entry in report["deployables"]} == {"failed"}
    schemas.check("report", report)


BREAK: dict[str, Callable[[dict[str, Any]], object]] = {
    "more": lambda entry: entry.update(author="me"),
    "less": lambda entry: entry.pop("digest"),
    "another kind": lambda entry: entry.update(bytes="12"),
    "more within": lambda entry: entry["measurement"]["outputs"]["y"].update(mood="good"),
    "another status": lambda entry: entry.update(status="fine"),
}


def test_what_is_not_documented_fails(modelbuild: Inside) -> None:
    assert modelbuild("build", "ios/m.onnx").code == 0
    report = json.loads((modelbuild.space.project / "artifacts" / "report.json").read_text())
    assert schemas.faults("report", report) == []
    for what, change in BREAK.items():
        other = copy.deepcopy(report)
        change(other["deployables"][0])
        assert schemas.faults("report", other), what


def test_every_event_has_its_line() -> None:
    def below(kind: type[events.Event]) -> set[type[events.Event]]:
        return {kind, *(each for one in kind.__subclasses__() for each in below(one))}

    named = {each for each in below(events.Event) if "name" in vars(each)}
    assert named == set(events.EVENTS)


def test_what_is_read_is_written_again(modelbuild: Inside) -> None:
    assert modelbuild("build", "ios/m.onnx").code == 0
    report = json.loads((modelbuild.space.project / "artifacts" / "report.json").read_text())
    record = report["deployables"][0]["measurement"]
    found = Measurement.of(record)
    assert to_json(found) == record
    for name, figures in found.outputs.items():
        assert to_json(figures) == record["outputs"][name]
        assert read(type(figures), to_json(figures)) == figures
