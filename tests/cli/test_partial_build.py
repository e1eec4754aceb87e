"""A build after an edit looks only at the components that changed, and gives what a whole build gives."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from buildsys.cli.answer import recalling
from buildsys.cli.answer.question import Question
from buildsys.engine.staleness.walk import Standing, Walk
from buildsys.planner.graph import Action
from buildsys.report.record import NAME, entries_in
from buildsys.store.memo import FINE_NS
from tests.cli.inside import Inside, Said
from tests.profile import some

MODELS = ("a", "b", "c")
ACTIONS = 15
"""Of one model."""
MODEL = """
  {name}:
    source: {{factory: model:build, args: {{scale: 1.0}}, checkpoint: {name}.safetensors}}
    inputs:
      x: {{shape: [N, 3], dims: {{N: {{min: 1, max: 8, example: 1}}}}}}
    outputs: {{y: {{}}}}
    samples: {{dataset: {name}, count: 8}}
    environment: host"""
RECIPE = """\
version: 1
project: toy
datasets:{datasets}
models:{models}
quantization:
  half: {{scheme: float16}}
targets:
  ios: [{{format: onnx}}, {{format: coreml}}]
  android: [{{format: tflite}}, {{format: tflite, quantization: half}}]
"""


@pytest.fixture
def three(modelbuild: Inside) -> Inside:
    """A project of three models that have nothing in common but their code, built."""
    space = modelbuild.space
    datasets = "".join(f"\n  {n}: {{source: {n}.npz, inputs: {{x: x}}}}" for n in MODELS)
    models = "".join(MODEL.format(name=name) for name in MODELS)
    space.write("deploy.yaml", RECIPE.format(datasets=datasets, models=models))
    for number, name in enumerate(MODELS):
        (space.project / f"{name}.safetensors").write_bytes(
            (space.project / "weights.safetensors").read_bytes()
        )
        edit_weights(modelbuild, name, number)
        space.arrays(f"{name}.npz", 32, number)
    modelbuild.until_answered("build")
    return modelbuild


def edit_weights(modelbuild: Inside, name: str, value: float) -> None:
    weights = modelbuild.space.project / "weights.safetensors"
    before = weights.read_bytes()
    modelbuild.space.weights([[1.0, value], [value, 4.0], [0.5, value]])
    weights.rename(weights.with_name(f"{name}.safetensors"))
    weights.write_bytes(before)


def call(modelbuild: Inside) -> Said:
    """As a new process would."""
    text = recalling.recall(["build"])
    return Said(0, text, "") if text is not None else modelbuild("build")


def looked_at(modelbuild: Inside, patch: pytest.MonkeyPatch) -> list[str]:
    """Builds, and gives the actions that were looked at."""
    looks: list[str] = []
    standing = Walk.standing

    def counted(self: Walk, action: Action, above: Mapping[str, Standing]) -> Standing:
        looks.append(action.id)
        return standing(self, action, above)

    with patch.context() as patched:
        patched.setattr(Walk, "standing", counted)
        call(modelbuild)
    return looks


def report(modelbuild: Inside) -> str:
    return (modelbuild.space.project / "artifacts" / NAME).read_text()


def whole(modelbuild: Inside) -> tuple[str, dict[str, bytes]]:
    """The report and the artifacts of a build that looks at everything, and has no report to go by."""
    (modelbuild.space.project / "artifacts" / NAME).unlink()
    Question.asked = Question.record = None
    assert modelbuild("build").code == 0
    return report(modelbuild), modelbuild.space.artifacts()


def test_an_edit_of_one_model_s_weights_looks_at_its_actions_alone(
    three: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = entries_in(report(three))
    edit_weights(three, "b", 7.0)
    time.sleep(2 * FINE_NS / 1e9)
    looks = set(looked_at(three, monkeypatch))
    assert {name.partition("/")[2][:1] or name[:1] for name in looks} == {"b"}
    assert len(looks) == ACTIONS
    after = entries_in(report(three))
    assert [n for n in after if after[n] != before[n]] == [n for n in after if "/b." in n]
    found = report(three), three.space.artifacts()
    assert whole(three) == found


def test_it_says_what_a_whole_build_says(three: Inside) -> None:
    edit_weights(three, "b", 7.0)
    time.sleep(2 * FINE_NS / 1e9)
    said = call(three).out
    assert said.count("\nios/") + said.startswith("ios/") == 6
    assert f"{3 * ACTIONS} up to date" not in said
    whole_said = three("build").out
    assert f"Actions: 0 ran, {3 * ACTIONS} up to date." in whole_said
    ran = next(line for line in said.splitlines() if "Actions:" in line).split("Actions: ")[1]
    numbers = [int(word) for word in ran.replace(",", " ").split() if word.isdigit()]
    assert sum(numbers[:2]) == 3 * ACTIONS
    table = [line for line in said.splitlines() if line.startswith(("ios", "android"))]
    assert table == [
        line for line in whole_said.splitlines() if line.startswith(("ios", "android"))
    ]


def test_the_answer_afterwards_holds_and_is_that_of_all(
    three: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("a", 5.0), ("c", 6.0), ("a", 7.0)):
        edit_weights(three, name, value)
        time.sleep(2 * FINE_NS / 1e9)
        assert len(set(looked_at(three, monkeypatch))) == ACTIONS
        given = recalling.recall(["build"])
        assert given is not None
        assert f"Actions: 0 ran, {3 * ACTIONS} up to date" in given
        assert "12 deployables: 9 verified, 3 unverified" in given


def test_what_was_edited_a_moment_ago_is_known_as_well_if_it_stays_so(
    three: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (5.0, 6.0):
        edit_weights(three, "a", value)  # And built within the clock's grain.
        assert len(set(looked_at(three, monkeypatch))) == ACTIONS
    assert recalling.recall(["build"]) is not None


def _edit_code(modelbuild: Inside) -> None:
    modelbuild.space.edit("helper.py", "1.1", "1.2")


def _edit_report(modelbuild: Inside) -> None:
    path = modelbuild.space.project / "artifacts" / NAME
    path.write_text(path.read_text().replace('"verified"', '"checked"', 1))
    edit_weights(modelbuild, "a", 9.0)


def _edit_recipe(modelbuild: Inside) -> None:
    modelbuild.space.edit("deploy.yaml", "scale: 1.0", "scale: 2.0")


def _edit_all(modelbuild: Inside) -> None:
    for name in MODELS:
        edit_weights(modelbuild, name, 11.0)


def _new_file_of_recipe(modelbuild: Inside) -> None:
    edit_weights(modelbuild, "a", 9.0)
    (modelbuild.space.project / "deploy.lock.yaml").write_text("version: 1\n")


@pytest.mark.parametrize(
    "edit", [_edit_code, _edit_report, _edit_recipe, _edit_all, _new_file_of_recipe]
)
def test_what_concerns_all_is_looked_at_as_a_whole(
    three: Inside, edit: Callable[[Inside], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(three)
    time.sleep(2 * FINE_NS / 1e9)
    assert len(set(looked_at(three, monkeypatch))) == 3 * ACTIONS
    found = report(three), three.space.artifacts()
    assert whole(three) == found


def _entry(modelbuild: Inside, label: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (e for e in json.loads(report(modelbuild))["deployables"] if e["label"] == label)
    return found


def _while_it_looks(patch: pytest.MonkeyPatch, number: int, do: Callable[[], None]) -> None:
    """Does something before an action is looked at, the first time."""
    standing, looks = Walk.standing, iter(range(10_000))

    def meanwhile(self: Walk, action: Action, above: Mapping[str, Standing]) -> Standing:
        if next(looks) == number:
            do()
        return standing(self, action, above)

    patch.setattr(Walk, "standing", meanwhile)


def _edit_c(modelbuild: Inside) -> None:
    edit_weights(modelbuild, "c", 21.0)


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("edit", [_edit_code, _edit_c])
def test_what_is_edited_while_it_builds_is_seen_the_next_time(
    three: Inside, edit: Callable[[Inside], None], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_weights(three, "b", 7.0)
    time.sleep(2 * FINE_NS / 1e9)
    with monkeypatch.context() as patch:
        _while_it_looks(patch, number, lambda: edit(three))
        assert call(three).code == 0
        assert Question.record is not None
    looks = set(looked_at(three, monkeypatch))
    assert len(looks) >= ACTIONS
    assert any(name.partition("/")[2][:1] == "c" or name[:1] == "c" for name in looks)
    found = report(three), three.space.artifacts()
    assert whole(three) == found


def _artifact_gone(modelbuild: Inside, name: str) -> None:
    (modelbuild.space.project / _entry(modelbuild, f"ios/{name}.onnx")["path"]).unlink()


def _artifact_altered(modelbuild: Inside, name: str) -> None:
    path = modelbuild.space.project / _entry(modelbuild, f"android/{name}.tflite")["path"]
    path.write_bytes(path.read_bytes() + b"x")


def _weights(modelbuild: Inside, name: str) -> None:
    edit_weights(modelbuild, name, random.randrange(1000))


def _data(modelbuild: Inside, name: str) -> None:
    modelbuild.space.arrays(f"{name}.npz", 32, random.randrange(1000))


def _touched(modelbuild: Inside, name: str) -> None:
    os.utime(modelbuild.space.project / f"{name}.npz")


def _object_gone(modelbuild: Inside, name: str) -> None:
    digest = _entry(modelbuild, f"ios/{name}.onnx")["sha256"]
    (modelbuild.space.store / "files" / digest[:2] / digest).unlink()


def _longer_code(modelbuild: Inside, name: str) -> None:
    helper = modelbuild.space.project / "helper.py"
    helper.write_text(helper.read_text() + f"# {name}\n")


MOVES = (_artifact_gone, _artifact_altered, _weights, _data, _touched, _object_gone, _longer_code)


@pytest.mark.parametrize("seed", some(range(6)))
def test_any_edits_give_what_a_whole_build_gives(three: Inside, seed: int) -> None:
    dice = random.Random(seed)
    random.seed(seed)
    partial = 0
    for _ in range(8):
        for _ in range(dice.choice((1, 1, 2))):
            dice.choice(MOVES)(three, dice.choice(MODELS))
        time.sleep(2 * FINE_NS / 1e9)
        assert call(three).code == 0
        partial += Question.record is not None
        found = report(three), three.space.artifacts()
        if dice.random() < 0.4:
            assert whole(three) == found
            three.until_answered("build")
    assert whole(three) == found
    assert partial > 2
