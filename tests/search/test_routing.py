"""`route: [direct, onnx]`: the second is taken where the first gives nothing, and that is written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from buildsys.backends.base import Rule
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.planner.catalog import Catalog
from buildsys.recipe import RecipeError
from buildsys.report.record import write_report
from buildsys.search.building import build
from tests.fakes.numeric.rules import backend
from tests.space import Space, statuses

LABEL = "android/m.tflite"
RECIPE = """\
version: 1
project: toy
datasets:
  val: {source: val.npz, inputs: {x: x}}
models:
  m:
    source: {factory: model:build, checkpoint: weights.safetensors}
    inputs: {x: {shape: [N, 3]}}
    outputs: {y: {}}
    samples: {dataset: val, count: 8}
    environment: host
acceptance:
  close: {signal_error: 1.0e-3}
targets:
  android:
    - {format: tflite, route: [direct, onnx], accept: close}
"""
DIRECT = Rule(
    "tflite.convert",
    ("torchscript",),
    "tflite",
    "host",
    "worker:convert_choosy",
    route="direct",
    cost=0.5,
)
GOOD, REFUSED, SPOILT = ([[first, 2.0], [3.0, 4.0], [5.0, 6.0]] for first in (1.0, -1.0, 0.0))


class Routes(Space):
    """The project, built as the command does."""

    def __init__(self, project: Path, store: Path) -> None:
        super().__init__(project, store)
        self.catalog = Catalog.load([replace(backend, rules=(*backend.rules, DIRECT))])

    def create(self) -> None:
        self.project.mkdir(parents=True)
        self.write("deploy.yaml", RECIPE)
        self.write("model.py", "def build():\n    return None\n")
        self.weights(GOOD)
        self.arrays("val.npz", 16, seed=1)

    def build(self, *selectors: str, jobs: int = 2, keep_going: bool = False, **more: Any) -> Build:
        self.events = []
        with self.session() as session:
            return build(
                session,
                selectors,
                settings=Settings(jobs=jobs, max_failures=None if keep_going else 1, timeout=60),
                listener=self.events.append,
                **more,
            )

    @property
    def lock(self) -> Path:
        return self.project / "deploy.lock.yaml"

    def told(self, event: str) -> list[dict[str, Any]]:
        return [e.to_json() for e in self.events if e.name == event]


@pytest.fixture
def space(tmp_path: Path) -> Routes:
    space = Routes(tmp_path / "project", tmp_path / "store")
    space.create()
    return space


def test_the_first_route_is_taken_where_it_works(space: Routes) -> None:
    built = space.build()
    assert statuses(built) == {LABEL: "verified"}
    assert built.graph.deployables[0].route.rules == ("torch.capture", "tflite.convert")
    assert not space.lock.exists()
    assert not space.plan().has_work


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        (REFUSED, "tflite.convert: there is no operator for minus"),
        (SPOILT, "signal_error of y is"),
    ],
)
def test_the_second_is_taken_where_the_first_fails_or_is_rejected(
    space: Routes, weights: Any, why: str
) -> None:
    space.weights(weights)
    built = space.build()
    assert statuses(built) == {LABEL: "verified"}
    assert built.graph.deployables[0].route.rules == (
        "torch.capture",
        "onnx.export",
        "tflite.convert",
    )
    assert built.exit == 0
    (warned,) = [w["message"] for w in space.told("diagnostic") if "gave nothing" in w["message"]]
    assert "`route: onnx` is taken" in warned
    assert why in warned
    assert not list((space.project / "artifacts").glob(".rejected/**/*.small"))

    (held,) = yaml.safe_load(space.lock.read_text())["routes"].values()
    assert held["taken"] == "onnx"
    assert why in held["failed"]["direct"]
    write_report(built)
    (row,) = json.loads((space.project / "artifacts" / "report.json").read_text())["deployables"]
    assert row["detour"]["taken"] == "onnx"
    assert why in row["detour"]["failed"]["direct"]
    assert any("`route: onnx` was taken" in notice for notice in built.graph.deployables[0].notices)

    assert not space.plan().has_work
    again = space.build()
    assert (again.run.executed, statuses(again)) == ([], {LABEL: "verified"})


def test_the_answer_stays_until_it_is_asked_again(space: Routes) -> None:
    space.weights(REFUSED)
    space.build()
    space.weights(GOOD)
    assert space.build().graph.deployables[0].route.rules[1] == "onnx.export"
    built = space.build(again=True)
    assert built.graph.deployables[0].route.rules == ("torch.capture", "tflite.convert")
    assert "routes" not in yaml.safe_load(space.lock.read_text())
    assert not space.plan().has_work


def test_another_list_is_another_question(space: Routes) -> None:
    space.weights(REFUSED)
    space.build()
    space.edit("deploy.yaml", "[direct, onnx]", "[direct]")
    built = space.build()
    assert statuses(built) == {LABEL: "failed"}


def test_what_no_route_gives_fails_with_the_last_one_and_is_not_written_down(space: Routes) -> None:
    space.edit("deploy.yaml", "[direct, onnx]", "[direct]")
    space.weights(REFUSED)
    assert statuses(space.build()) == {LABEL: "failed"}
    assert not space.lock.exists()


def test_a_failure_of_all_routes_is_no_reason_for_another(space: Routes) -> None:
    space.write("model.py", "def build():\n    raise ValueError('no')\n")
    assert statuses(space.build()) == {LABEL: "failed"}
    assert not space.lock.exists()


def test_locked_takes_no_other_route(space: Routes) -> None:
    space.weights(REFUSED)
    assert statuses(space.build(locked=True)) == {LABEL: "failed"}
    assert not space.lock.exists()


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ("[direct, direct]", "`direct` stands in the list already"),
        ("[direct, trace]", "tflite has no route `trace`"),
        ("{direct: onnx}", "must be a word, or a list of words in order"),
        ("[]", "must not be empty"),
    ],
)
def test_a_list_that_cannot_be(space: Routes, routes: str, message: str) -> None:
    space.edit("deploy.yaml", "[direct, onnx]", routes)
    with pytest.raises(RecipeError) as raised:
        space.session()
    assert message in str([d.message for d in raised.value.diagnostics])


def test_a_lock_that_is_none(space: Routes) -> None:
    space.lock.write_text(f"version: 1\nchoices: {{}}\nroutes:\n  {LABEL}: {{taken: onnx}}\n")
    with pytest.raises(RecipeError) as raised:
        space.session()
    (found,) = raised.value.diagnostics
    assert found.position is not None
    assert (found.message, found.position.line) == (
        f"the route of `{LABEL}` has no `asked`, `taken` and `failed`",
        4,
    )


def test_what_the_steps_before_a_failure_noted_is_told(space: Routes) -> None:
    late = replace(DIRECT, takes=("onnx",), route="late")
    space.catalog = Catalog.load([replace(backend, rules=(*backend.rules, late))])
    space.edit("deploy.yaml", "[direct, onnx]", "late")
    space.weights(REFUSED)
    (verdict,) = space.build().verdicts
    assert verdict.status.value == "failed"
    assert verdict.notes == ("sizes are as they were",)
