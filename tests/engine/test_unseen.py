"""What nothing could see is marked: in every output, on every later build, until the recipe lists it."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from buildsys.engine.events import Gate
from buildsys.engine.staleness.unseen import NOT_KNOWN
from buildsys.recipe import RecipeError
from buildsys.release.manifest import manifest
from buildsys.report.record import write_report
from buildsys.report.screens.console import idle_text
from buildsys.report.screens.plan import print_plan
from buildsys.toolchains.inside.watch import PYTHON, SWITCH
from tests.space import Space

LABEL = "ios/m.onnx"
READ = """\
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def build(scale):
    text = subprocess.run(["cat", HERE / "data" / "scale.txt"], capture_output=True, check=True).stdout
    return [[float(text) * scale, 1.5]] * 3
"""


@pytest.fixture
def foreign(space: Space, monkeypatch: pytest.MonkeyPatch) -> Space:
    """A model that reads by a program, where the kernel tells nothing."""
    monkeypatch.setenv(SWITCH, PYTHON)
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.write("model.py", READ)
    (space.project / "data").mkdir()
    space.write("data/scale.txt", "1")
    return space


def declare(space: Space, files: str) -> None:
    space.edit("deploy.yaml", "factory: model:build,", f"factory: model:build, files: {files},")


def captured(space: Space) -> int:
    return space.ran(space.build(LABEL))["torch.capture"]


def test_the_mark_is_on_every_output_of_this_build_and_of_the_next(foreign: Space) -> None:
    for ran in (1, 0):
        build = foreign.build(LABEL)
        assert foreign.ran(build)["torch.capture"] == ran
        [verdict] = build.verdicts
        assert verdict.unseen == ("the program `cat`",)
        assert str(verdict.status) == "verified"
        assert build.exit == 0
        [entry] = json.loads(write_report(build).read_text())["deployables"]
        assert entry["inputs_not_known"] == ["the program `cat`"]
        [artifact] = manifest(build, "ios", "1", {LABEL: []}, None, {}).artifacts
        assert artifact.inputs_not_known == ("the program `cat`",)
        [gate] = [e for e in foreign.events if isinstance(e, Gate)]
        assert gate.inputs_not_known == ["the program `cat`"]
        # What a next call prints that looks at nothing but the times of files.
        shown = idle_text(Console(width=200), build)
        assert "verified (?)" in shown
        assert (
            f"{NOT_KNOWN}: nothing could see what its code reads through the program `cat`" in shown
        )
    plan = foreign.plan(LABEL)
    assert [(p.sign, p.unseen) for p in plan.deployables] == [("=", ("the program `cat`",))]
    console = Console(width=200)
    with console.capture() as captured_text:
        print_plan(console, plan)
    assert f"up to date, as far as is known: {NOT_KNOWN}" in captured_text.get()


def test_strict_refuses_it(foreign: Space) -> None:
    foreign.build(LABEL)
    with foreign.session() as session:
        assert session.build([LABEL]).exit == 0
        assert session.build([LABEL], strict=True).exit == 3
    declare(foreign, "[data/scale.txt]")
    with foreign.session() as session:
        assert session.build([LABEL], strict=True).exit == 0


@pytest.mark.parametrize("files", ["[data/scale.txt]", "['data/*']", "[data]", "['**/*.txt']"])
def test_listed_files_count_by_content_and_take_the_mark_away(foreign: Space, files: str) -> None:
    declare(foreign, files)
    build = foreign.build(LABEL)
    assert [v.unseen for v in build.verdicts] == [()]
    assert captured(foreign) == 0
    foreign.write("data/scale.txt", "2")
    [planned] = foreign.plan(LABEL).deployables
    assert [r.text.partition(" (")[0] for r in planned.reasons] == ["data/scale.txt changed"]
    assert captured(foreign) == 1
    assert b"2.0" in foreign.artifacts()["ios/m.plain"]
    foreign.write("data/scale.txt", "1")
    assert captured(foreign) == 0  # As the first time.


def test_a_file_that_comes_to_match_counts(foreign: Space) -> None:
    declare(foreign, "['data/*.txt']")
    assert captured(foreign) == 1
    foreign.write("data/note.md", "matches nothing")
    assert captured(foreign) == 0
    foreign.write("data/more.txt", "3")
    assert captured(foreign) == 1


def test_an_empty_list_says_that_nothing_is_read(foreign: Space) -> None:
    declare(foreign, "[]")
    build = foreign.build(LABEL)
    assert [v.unseen for v in build.verdicts] == [()]


def test_a_glob_that_matches_nothing_is_an_error(foreign: Space) -> None:
    declare(foreign, "[data/scales.txt]")
    with pytest.raises(RecipeError, match="no file matches"):
        foreign.plan(LABEL)


def test_only_a_factory_has_code_whose_files_can_be_listed(foreign: Space) -> None:
    foreign.write("m.onnx", "")
    foreign.edit(
        "deploy.yaml", "factory: model:build, args: {scale: 1.0}", "onnx: m.onnx, files: [m.onnx]"
    )
    with pytest.raises(RecipeError, match="`files` needs a `factory`"):
        foreign.plan(LABEL)


def test_nothing_is_marked_that_the_kernel_sees(
    foreign: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SWITCH)
    with foreign.session() as session:
        build = session.build([LABEL], strict=True)
    marks = {v.unseen for v in build.verdicts}
    if marks != {()}:
        pytest.skip(f"the kernel does not tell here: {marks}")
    assert build.exit == 0
    foreign.write("data/scale.txt", "2")
    assert captured(foreign) == 1
