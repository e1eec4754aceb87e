"""What a plan says of fixed sizes, and what a backend refuses before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from buildsys.backends.base import Options, Ports, Refusal, varying
from buildsys.cli.plan import record
from buildsys.engine.results import Plan
from buildsys.planner.catalog import Catalog
from buildsys.recipe import Diagnostic, RecipeError
from buildsys.report.screens.plan import print_plan
from tests.fakes.numeric.rules import backend
from tests.space import Space


class SmallOptions(Options):
    """`roomy` keeps sizes open."""

    roomy: bool = False


def refuses(ports: Ports, options: Mapping[str, Any]) -> Refusal | None:
    if options["roomy"] and not varying(ports):
        return Refusal("`roomy` does nothing", "delete it", "roomy")
    for port in ports:
        if "T" in port["dims"]:
            return Refusal("`T` cannot vary", "write a number in the shape")
    return None


def catalog() -> Catalog:
    """The fakes, with a `tflite` that has fixed sizes unless it is told otherwise."""
    formats = tuple(
        replace(f, dynamic=False, opens="roomy", options=SmallOptions, refuses=refuses)
        if f.name == "tflite"
        else f
        for f in backend.formats
    )
    rules = tuple(
        replace(r, options=("roomy",)) if r.name == "tflite.convert" else r for r in backend.rules
    )
    return Catalog.load([replace(backend, formats=formats, rules=rules)])


def text(plan: Plan) -> str:
    console = Console(file=StringIO(), width=120, color_system=None)
    print_plan(console, plan)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def refused(space: Space) -> Diagnostic:
    with pytest.raises(RecipeError) as caught:
        space.plan()
    (found,) = caught.value.diagnostics
    return found


def test_fixed_sizes_are_said_by_the_plan(space: Space) -> None:
    space.catalog = catalog()
    plan = space.plan()
    said = (
        "\nnote: sizes are fixed: N = 1 (`roomy: true` keeps them open)\n"
        "  android/m.tflite, android/m.tflite-half\n"
    )
    assert said in text(plan)
    notices = {each.label: list(each.notices) for each in record(plan).deployables}
    assert notices["android/m.tflite"] == ["sizes are fixed: N = 1 (`roomy: true` keeps them open)"]
    assert notices["ios/m.onnx"] == []
    # Nothing runs them at sizes that they do not take.
    runs = {
        n: a for n, a in plan.action_graph.actions.items() if a.rule in ("onnx.run", "tflite.run")
    }
    assert {a.rule: "sizes" in a.inputs for a in runs.values()} == {
        "onnx.run": True,
        "tflite.run": False,
    }


def test_a_legacy_format_is_said_by_the_plan_and_once_by_the_build(space: Space) -> None:
    why = "nobody maintains it: `format: tflite` is its successor"
    formats = tuple(replace(f, legacy=why) if f.name == "coreml" else f for f in backend.formats)
    space.catalog = Catalog.load([replace(backend, formats=formats)])
    plan = space.plan()
    assert f"\nnote: {why}\n  ios/m.coreml\n" in text(plan)
    build = space.build("ios")
    notes = {verdict.deployable.label: verdict.notes for verdict in build.verdicts}
    assert notes["ios/m.coreml"].count(why) == 1
    assert why not in notes["ios/m.onnx"]


def test_what_nobody_maintains_any_more_is_legacy() -> None:
    formats = Catalog.load().formats.values()
    assert {f.name for f in formats if f.legacy} == {"ptl", "torchserve"}


def test_nothing_is_said_where_sizes_stay_open_or_do_not_vary(space: Space) -> None:
    space.catalog = catalog()
    space.edit(
        "deploy.yaml",
        "{format: tflite, accept: close}",
        "{format: tflite, accept: close, options: {roomy: true}}",
    )
    plan = space.plan("android/m.tflite")
    assert plan.deployables[0].deployable.notices == ()
    (run,) = (a for a in plan.action_graph.actions.values() if a.rule == "tflite.run")
    assert run.options["dynamic"] is True
    assert "sizes" in run.inputs
    space.edit("deploy.yaml", ", options: {roomy: true}", "")
    space.edit("deploy.yaml", "max: 8", "max: 1")
    plan = space.plan("android/m.tflite")
    assert plan.deployables[0].deployable.notices == ()
    assert not any("sizes" in a.inputs for a in plan.action_graph.actions.values())
    assert "note:" not in text(plan)


def test_a_backend_refuses_an_option_at_its_place(space: Space) -> None:
    space.catalog = catalog()
    space.edit("deploy.yaml", "max: 8", "max: 1")
    space.edit(
        "deploy.yaml",
        "{format: tflite, accept: close}",
        "{format: tflite, accept: close, options: {roomy: true}}",
    )
    found = refused(space)
    assert found.message == "tflite of `m`: `roomy` does nothing"
    assert found.hint == "delete it"
    assert found.position is not None
    shown = found.position.text
    assert shown[found.position.column - 1 :].startswith("true}")


def test_a_backend_refuses_an_entry_at_its_format(space: Space) -> None:
    space.catalog = catalog()
    space.edit("deploy.yaml", "[N, 3], dims: {N", "[N, T], dims: {T: {min: 3, max: 4}, N")
    space.edit("deploy.yaml", "    - {format: tflite, accept: close}\n", "")
    found = refused(space)
    assert (found.message, found.hint) == (
        "tflite of `m`: `T` cannot vary",
        "write a number in the shape",
    )
    assert found.position is not None
    assert found.position.text[found.position.column - 1 :].startswith("tflite, quantization")


def test_core_ml_keeps_no_size_open_where_none_varies(space: Space) -> None:
    space.catalog = Catalog.load()
    space.edit("deploy.yaml", "max: 8", "max: 1")
    space.edit("deploy.yaml", "{format: coreml}", "{format: coreml, options: {flexible: true}}")
    space.edit("deploy.yaml", "scheme: float16", "scheme: dynamic")
    found = refused(space)
    assert found.message == "coreml of `m`: `flexible` keeps no size open, since none varies"
    assert found.hint == "delete it, or declare a symbol in a shape and its `dims`"
