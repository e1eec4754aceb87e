"""`modelbuild verify`: bounds as they are, and bounds as they might be."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from buildsys.cli import common, verify
from buildsys.diagnosis.suggestion import DRAWN, Answer, suggest
from buildsys.recipe.schema.acceptance import Acceptance
from buildsys.report.screens.suggestion import print_suggestion
from tests.space import Space


def run(space: Space, monkeypatch: pytest.MonkeyPatch, *args: str) -> tuple[int, str]:
    """The command in this process, with the fakes for backends."""
    monkeypatch.setenv("MODELBUILD_CACHE", str(space.store))
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr("buildsys.planner.catalog.Catalog.load", lambda *_: space.catalog)
    recipe = str(space.project / "deploy.yaml")
    result = CliRunner().invoke(verify.command, [*args, "-f", recipe], standalone_mode=False)
    assert result.exception is None, result.output
    return int(result.return_value), result.stdout


def test_every_bound_is_shown(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run(space, monkeypatch, "ios")
    assert code == 0
    rows = [line.split() for line in text.splitlines()]
    assert ["ios/m.onnx", "verified", "held", "to", "`close`"] in rows
    assert ["pass", "signal_error", "y"] in [row[:3] for row in rows]
    assert "finite" not in text
    assert ["pass", "finite", "y", "0", "≤", "0"] in [
        line.split() for line in run(space, monkeypatch, "ios", "-v")[1].splitlines()
    ]
    assert (space.project / "artifacts" / "report.json").exists()


def test_a_bound_that_fails(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    space.edit("deploy.yaml", "{format: onnx,", "{format: onnx, options: {gain: 1.5},")
    code, text = run(space, monkeypatch, "ios/m.onnx")
    assert code == 3
    (row,) = [line for line in text.splitlines() if "FAIL" in line]
    assert "0.64 would pass" in row
    assert "hint: `modelbuild verify --locate ios/m.onnx` finds the operation at fault" in text
    # How all samples fare is drawn below.
    assert "ios/m.onnx: samples by their error in y" in text
    assert "█" in text
    code, text = run(space, monkeypatch, "ios/m.onnx", "--json")
    assert code == 3
    (entry,) = json.loads(text)["deployables"]
    (gate,) = [g for g in entry["gates"] if not g["pass"]]
    assert gate["least"] == 0.64
    assert gate["worst_sample"] == entry["measurement"]["outputs"]["y"]["worst"]["sample"]


def suggested(space: Space, *selectors: str) -> Answer:
    with space.session() as session:
        return suggest(session, selectors)


def test_bounds_are_proposed_from_more_samples(space: Space) -> None:
    answer = suggested(space, "android", "ios/m.coreml")
    by_label = {each.deployable.label: each for each in answer.suggested}
    assert by_label["ios/m.coreml"].reason == "nothing runs a fake package"
    half = by_label["android/m.tflite-half"]
    # All rows of the dataset, of which the gate takes eight.
    assert half.samples == 16
    (proposal,) = half.proposals
    assert proposal.now == 1e-3
    assert proposal.holds
    assert proposal.value is not None
    assert proposal.proposed is not None
    assert 2 * proposal.value < proposal.proposed < 4 * proposal.value
    assert proposal.quantiles is not None
    assert proposal.quantiles["p50"] <= proposal.quantiles["p95"] <= proposal.quantiles["max"]
    # Both are held to `close`: the looser of the two.
    assert answer.acceptance == {"close": {"signal_error": proposal.proposed}}


def test_what_is_proposed_passes_in_the_recipe(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = run(space, monkeypatch, "--suggest", "android", "--json")
    assert code == 0
    section = yaml.safe_load(json.loads(text)["yaml"])["acceptance"]
    assert Acceptance.model_validate(section["close"]).limit("signal_error")
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", json.dumps(section["close"]))
    assert run(space, monkeypatch, "android")[0] == 0


def test_random_samples_are_others_and_more(space: Space) -> None:
    space.edit("deploy.yaml", "{dataset: val, count: 8}", "{random: normal, count: 4}")
    (each, _) = suggested(space, "android").suggested
    assert each.samples == DRAWN


def test_nothing_is_placed_and_what_was_built_is_used(space: Space) -> None:
    space.build("android")
    before = space.snapshot()
    answer = suggested(space, "android")
    project = str(space.project)
    kept = {path: state for path, state in before.items() if path.startswith(project)}
    now = {path: state for path, state in space.snapshot().items() if path.startswith(project)}
    assert now == kept
    ran = {answer.graph.actions[name].rule for name in answer.run.executed}
    assert not ran & {"torch.capture", "onnx.export", "tflite.convert", "tflite.quantize"}
    assert {"tflite.run", "torch.reference", "torch.floor", "verify.measure"} <= ran


def test_a_bound_that_holds_on_few_samples_only(space: Space) -> None:
    space.edit("deploy.yaml", "{signal_error: 1.0e-3}", "{signal_error: 1.0e-9, max_abs: 1e-9}")
    (_, half) = suggested(space, "android").suggested
    assert [p.bound for p in half.proposals] == ["signal_error", "max_abs"]
    assert not any(p.holds for p in half.proposals)


def test_the_table_fits_a_narrow_terminal(
    space: Space, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space.edit("deploy.yaml", "{format: onnx, accept: close}", "{format: onnx}")
    monkeypatch.setenv("COLUMNS", "80")
    print_suggestion(common.console("never"), suggested(space, "ios").to_json(), "deploy.yaml")
    shown = capsys.readouterr().out
    assert all(len(line.rstrip()) <= 80 for line in shown.splitlines())
    # The recipe has a `close` of its own, which is another.
    assert "  close-ios:  # ios/m.onnx" in shown
    assert "floor_ratio: 4" in shown


def test_different_questions_are_asked_one_at_a_time(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = str(space.project / "deploy.yaml")
    asked = ["--suggest", "--rebuild", "-f", recipe]
    result = CliRunner().invoke(verify.command, asked)
    assert result.exit_code == 2
    assert "ask one at a time" in result.output
