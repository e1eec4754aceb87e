"""Formats that nothing here runs, and that the project's own evaluator does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildsys.backends.base import Runtime
from buildsys.engine.checkup import Ability, abilities
from buildsys.planner.catalog import Catalog
from buildsys.release.bundle import BundleError, create
from buildsys.report.record import report
from buildsys.report.screens.checkup import _run_here
from buildsys.report.screens.console import latency
from tests.fakes.numeric.rules import backend
from tests.space import Space, statuses

LABEL, WORDS = "ios/m.onnx", "evaluated op by op, and run by no runtime"
EVALUATOR = Runtime("host", "small_runtime")


def catalog(**given: Any) -> Catalog:
    """The fakes, with an evaluator of `onnx`, and nothing that runs it."""
    declared = {"runtime": None, "evaluator": EVALUATOR, "evaluated": WORDS, **given}
    formats = tuple(replace(f, **declared) if f.name == "onnx" else f for f in backend.formats)
    return Catalog.load([replace(backend, formats=formats)])


def test_an_evaluator_stands_in_for_a_runtime(space: Space) -> None:
    space.catalog = catalog()
    build = space.build("ios/m.onnx", "android/m.tflite")
    assert statuses(build) == {LABEL: "checked", "android/m.tflite": "verified"}
    evaluated, run = build.verdicts
    assert evaluated.reason == WORDS
    assert evaluated.measurement is not None
    assert run.measurement is not None
    assert evaluated.measurement.outputs == run.measurement.outputs
    assert all(gate.passed for gate in evaluated.gates)
    assert (space.ran(build)["onnx.evaluate"], space.ran(build)["onnx.run"]) == (1, 0)
    (told,) = (row for row in report(build)["deployables"] if row["label"] == LABEL)
    assert (told["status"], told["reason"]) == ("checked", WORDS)
    again = space.build("ios/m.onnx")
    assert not space.ran(again)
    assert statuses(again) == {LABEL: "checked"}


def test_its_time_and_memory_are_not_those_of_a_device(space: Space) -> None:
    space.catalog = catalog()
    (verdict,) = space.build(LABEL).verdicts
    assert verdict.measurement is not None
    found = verdict.measurement
    assert (found.latency_ms, found.peak_rss_bytes, found.evaluated) == (None, None, True)
    assert latency(found.record) == "–"


def test_what_it_finds_wrong_is_rejected(space: Space) -> None:
    space.catalog = catalog()
    space.edit("deploy.yaml", "{format: onnx,", "{format: onnx, options: {gain: 1.5},")
    (verdict,) = space.build(LABEL).verdicts
    assert str(verdict.status) == "rejected"
    assert verdict.reason is not None
    assert "signal_error of y is 0.637" in verdict.reason
    assert [n for n in space.artifacts() if n.startswith(".rejected/ios/m.plain")]


def test_a_bound_on_the_latency_has_no_value(space: Space) -> None:
    evaluated = {"runtime": None, "evaluator": EVALUATOR, "evaluated": WORDS}
    formats = tuple(
        replace(f, **evaluated) if f.name == "tflite" else f  # type: ignore[arg-type]
        for f in backend.formats
    )
    space.catalog = Catalog.load([replace(backend, formats=formats)])
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", "{latency_ratio: 2}")
    (verdict,) = space.build("android/m.tflite-half").verdicts
    assert str(verdict.status) == "rejected"
    assert verdict.reason == (
        "latency_ratio: an evaluator ran it, which takes its own time and not a device's"
    )


@pytest.mark.parametrize("reason", [None, "needs a turbine"])
def test_a_runtime_that_this_machine_has_comes_first(space: Space, reason: str | None) -> None:
    space.catalog = catalog(runtime=Runtime("host", available=lambda: reason))
    build = space.build(LABEL)
    assert statuses(build) == {LABEL: "checked" if reason else "verified"}
    assert space.ran(build)["onnx.evaluate"] == (1 if reason else 0)
    (told,) = [a for a in abilities(space.catalog, {}) if a.format == "onnx"]
    assert (told.cannot_run, told.evaluated) == (reason, reason is not None)


def test_an_evaluator_that_cannot_run_either(space: Space) -> None:
    broken = replace(EVALUATOR, available=lambda: "needs a lathe")
    space.catalog = catalog(evaluator=broken, unverified="nobody runs it")
    (verdict,) = space.build(LABEL).verdicts
    assert (str(verdict.status), verdict.reason) == ("unverified", "needs a lathe")
    (told,) = [a for a in abilities(space.catalog, {}) if a.format == "onnx"]
    assert (told.cannot_run, told.evaluated) == ("nobody runs it", False)


def test_options_that_make_what_it_does_not_read(space: Space) -> None:
    def unrun(options: Mapping[str, object]) -> str | None:
        return "no phone is here"

    space.catalog = catalog(unrun=unrun)
    (verdict,) = space.build(LABEL).verdicts
    assert (str(verdict.status), verdict.reason) == ("unverified", "no phone is here")


def test_doctor_says_that_it_is_evaluated() -> None:
    assert _run_here(Ability("coreml", None, "needs a Mac", evaluated=True)).plain == (
        "evaluated, not run: needs a Mac"
    )
    assert _run_here(Ability("coreml", None, "needs a Mac")).plain == "no: needs a Mac"


def test_it_is_bundled_and_marked(space: Space, tmp_path: Path) -> None:
    space.catalog = catalog()
    build = space.build("ios")
    with pytest.raises(BundleError, match=r"ios/m\.coreml is unverified"):
        create(build, "ios", tmp_path, "1")
    build = space.build(LABEL)
    bundle = create(build, "ios", tmp_path, "1")
    (entry,) = bundle.manifest["artifacts"]
    assert (entry["status"], entry["reason"]) == ("checked", WORDS)
    assert json.loads(json.dumps(entry["measurement"]))["evaluated"] is True
