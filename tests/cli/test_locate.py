"""`modelbuild verify --locate LABEL`, with fakes for backends."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from buildsys.cli import verify
from buildsys.diagnosis.locating import locate
from buildsys.planner.selectors import NoMatch
from tests.cli.test_verify import run
from tests.space import Space


def test_a_rejected_deployable_is_located(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    space.edit("deploy.yaml", "{format: onnx,", "{format: onnx, options: {gain: 1.5},")
    code, text = run(space, monkeypatch, "--locate", "ios/m.onnx")
    assert code == 3
    assert "`ios/m.onnx` goes wrong at `product` (number 0, `made`), in `layer`" in text
    assert "(helper.py:2: `return it`)" in text
    page = space.project / "artifacts" / ".diagnosis" / "ios" / "m.onnx.html"
    assert "goes wrong at" in page.read_text()
    code, text = run(space, monkeypatch, "--locate", "ios/m.onnx", "--json")
    record = json.loads(text)
    assert (code, record["kind"], record["module"]) == (3, "op", "layer")
    assert record["page"] == str(page)
    assert [row["artifact_op"] for row in record["table"]] == ["product"]
    # Nothing else was placed, and what was placed stays.
    assert [p.name for p in (space.project / "artifacts").iterdir()] == [".diagnosis"]


def test_a_healthy_one_is_said_to_be(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run(space, monkeypatch, "--locate", "ios/m.onnx")
    assert code == 0
    assert "`ios/m.onnx` passes: every bound holds" in text


@pytest.mark.parametrize("fix", [[], ["--fix"]])
def test_one_that_keeps_its_bounds_is_not_blamed(
    space: Space, monkeypatch: pytest.MonkeyPatch, fix: list[str]
) -> None:
    """Locating judges by `signal_error`; the recipe by what it likes."""
    space.edit("deploy.yaml", "{format: onnx,", "{format: onnx, options: {gain: 1.5},")
    space.edit("deploy.yaml", "close: {signal_error: 1.0e-3}", "close: {cosine: 0.5}")
    code, text = run(space, monkeypatch, "--locate", "ios/m.onnx", *fix)
    assert code == 0
    assert "goes wrong" not in text
    assert "`ios/m.onnx` passes: every bound holds" in text
    assert "most at `product` (number 0, `made`)" in text
    code, text = run(space, monkeypatch, "--locate", "ios/m.onnx", "--json")
    record = json.loads(text)
    assert (code, record["passes"], record["found"], record["kind"]) == (0, True, False, "healthy")
    assert record["largest_step"]["artifact_op"] == "product"
    assert (record["operation"], record["cure"]) == (None, None)


def test_all_of_it_comes_from_the_cache(space: Space) -> None:
    built = space.build("ios/m.onnx")
    with space.session() as session:
        first = locate(session, "ios/m.onnx")
    assert {first.graph.actions[name].rule for name in first.run.executed} == {
        "verify.choose",
        "onnx.probe",
        "torch.trace",
        "verify.locate",
    }
    assert "torch.capture" in space.ran(built)
    with space.session() as session:
        again = locate(session, "ios/m.onnx")
    assert again.run.executed == []
    assert first.location is not None
    assert again.location == first.location


def test_what_cannot_be_measured_is_located_all_the_same(space: Space) -> None:
    """Outputs that do not vary allow no measurement; nothing that locates needs one."""
    space.weights([[0, 0], [0, 0], [0, 0]])
    built = space.build("ios/m.onnx")
    assert built.exit == 1
    with space.session() as session:
        assert locate(session, "ios/m.onnx").location is not None


def test_a_format_that_shows_nothing_is_told(
    space: Space, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELBUILD_CACHE", str(space.store))
    monkeypatch.setattr("buildsys.planner.catalog.Catalog.load", lambda *_: space.catalog)
    recipe = str(space.project / "deploy.yaml")

    def asked(label: str) -> tuple[int, str]:
        arguments = ["--locate", label, "-f", recipe]
        result = CliRunner().invoke(verify.command, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.return_value, result.stderr

    code, said = asked("android/m.tflite")
    assert code == 2
    assert "nothing shows the values within a tflite artifact" in said
    assert "formats that can be looked into: onnx;" in said
    code, said = asked("ios")
    assert code == 2
    assert "ios is 2 deployables" in said
    with pytest.raises(NoMatch):
        asked("ios/m.nothing")
