"""Cures are tried on a recipe's text in memory, widened where they do not suffice, and proven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from buildsys.diagnosis.fixing import Fixed, Tools, cure
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.figures.location import JudgedLocation
from buildsys.recipe import Recipe, load
from tests.support.located import located

LABEL = "ios/m.coreml-half"
RECIPE = """\
version: 1
project: p
models:
  m:
    source: {factory: "model:build"}
    inputs: {x: {shape: [4]}}
    outputs: {y: {}}
quantization:
  half: {scheme: float16}  # why
targets:
  ios:
    - {format: coreml, quantization: half}
    - {format: onnx}
"""
SHARED = RECIPE + "  android:\n    - {format: tflite, quantization: half}\n"

Judge = Callable[[str, tuple[str, ...]], Status]


class Bench:
    """A recipe, and builds whose verdicts follow from the label and from what is kept."""

    def __init__(self, folder: Path, text: str, judge: Judge, *located: JudgedLocation) -> None:
        self.path = folder / "deploy.yaml"
        self.path.write_text(text)
        (folder / "model.py").touch()
        self.recipe = load(self.path, environ={})
        self.judge, self.located = judge, list(located)
        self.built: list[tuple[str, tuple[str, ...]]] = []
        self.shown: list[str] = []

    def cure(self, label: str = LABEL) -> Fixed:
        tools = Tools(
            lambda texts: load(self.path, environ={}, texts=texts),
            self.build,
            lambda recipe, label: self.located.pop(0),
            self.shown.append,
        )
        return cure(self.recipe, label, self.located.pop(0), tools)

    def build(self, recipe: Recipe, labels: Sequence[str]) -> list[Verdict]:
        kept = recipe.spec.quantization["half"].keep_float
        self.built += [(label, kept) for label in labels]
        found = [(label, self.judge(label, kept)) for label in labels]
        return [
            cast(
                Verdict,
                SimpleNamespace(
                    deployable=SimpleNamespace(label=label), status=status, reason=f"is {status}"
                ),
            )
            for label, status in found
        ]


def at(module: str | None, *globs: str) -> JudgedLocation:
    return located(module=module, cure={"keep_float": [*globs]})


def needs(*globs: str) -> Judge:
    return lambda label, kept: Status.CHECKED if {*globs} <= {*kept} else Status.REJECTED


def test_the_located_module_is_kept_and_nothing_is_written(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RECIPE, needs("mask"), at("mask", "mask"))
    fixed = bench.cure()
    assert fixed.edit is not None
    assert fixed.edit.after == RECIPE.replace("float16}", "float16, keep_float: [mask]}")
    assert bench.shown == [fixed.edit.diff(tmp_path)]
    assert bench.path.read_text() == RECIPE
    told = fixed.to_json(tmp_path)
    assert (told["cured"], told["profile"], told["also"]) == (True, "half", [])
    assert told["attempts"] == [
        {"keep_float": ["mask"], "status": "checked", "reason": "is checked"}
    ]


def test_what_is_located_next_is_kept_as_well(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, RECIPE, needs("mask", "softmax_1"), at("mask", "mask"), at(None, "softmax_1")
    )
    fixed = bench.cure()
    assert [each.keep_float for each in fixed.attempts] == [("mask",), ("mask", "softmax_1")]
    assert fixed.cured


def test_the_same_place_again_widens_the_module(tmp_path: Path) -> None:
    place = at("body.mask", "body.mask")
    bench = Bench(tmp_path, RECIPE, needs("body.*"), place, place, place)
    fixed = bench.cure()
    assert fixed.cured
    assert fixed.attempts[-1].keep_float == ("body.mask", "body.mask.*", "body.*")


def test_a_name_in_the_artifact_has_no_module_around_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RECIPE, needs("body"), at(None, "add_1"), at(None, "add_1"))
    fixed = bench.cure()
    assert [each.keep_float for each in fixed.attempts] == [("add_1",)]
    assert fixed.reason == "still rejected with `keep_float: [add_1]`: is rejected"


def test_it_gives_up_after_a_few(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RECIPE, needs("?"), *(at(None, f"add_{n}") for n in range(9)))
    fixed = bench.cure()
    assert not fixed.cured
    assert len(fixed.attempts) == 4
    assert bench.path.read_text() == RECIPE


def test_what_no_line_cures_builds_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RECIPE, needs(), located())
    fixed = bench.cure()
    assert (fixed.reason, bench.built) == ("no line of the recipe cures it", [])


def test_a_deployable_without_a_profile_cannot_keep_anything(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RECIPE, needs(), at("mask", "mask"))
    fixed = bench.cure("ios/m.onnx")
    assert "has no profile" in str(fixed.reason)
    assert bench.built == []


def test_what_shares_the_profile_is_built_and_judged_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SHARED, needs("mask"), at("mask", "mask"))
    fixed = bench.cure()
    assert fixed.also == ("android/m.tflite-half",)
    assert bench.built == [(LABEL, ("mask",)), ("android/m.tflite-half", ("mask",))]
    assert fixed.cured


@pytest.mark.parametrize("worse", [Status.FAILED, Status.REJECTED])
def test_what_would_harm_another_is_not_done(tmp_path: Path, worse: Status) -> None:
    def judge(label: str, kept: tuple[str, ...]) -> Status:
        if label == LABEL:
            return Status.VERIFIED if kept else Status.REJECTED
        return worse if kept else Status.VERIFIED

    fixed = Bench(tmp_path, SHARED, judge, at("mask", "mask")).cure()
    assert not fixed.cured
    assert f"`android/m.tflite-half` is {worse}" in str(fixed.reason)
    assert fixed.hint == (
        "give `ios/m.coreml-half` a profile of its own: "
        '`half-kept: {scheme: float16, keep_float: ["mask"]}`'
    )


def test_what_was_as_bad_before_is_no_reason(tmp_path: Path) -> None:
    def judge(label: str, kept: tuple[str, ...]) -> Status:
        return Status.CHECKED if label == LABEL and kept else Status.REJECTED

    assert Bench(tmp_path, SHARED, judge, at("mask", "mask")).cure().cured


def test_a_recipe_that_cannot_be_edited_says_what_to_write(tmp_path: Path) -> None:
    text = RECIPE.replace("half: {", "half: &half {")
    bench = Bench(tmp_path, text, needs("mask"), at("mask", "mask"))
    fixed = bench.cure()
    assert "anchor" in str(fixed.reason)
    assert fixed.hint == "write `keep_float: [mask]` under `quantization.half` yourself"
    assert bench.built == []
