"""What the options and the route of an `onnx` deployable make of a recipe's graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, ActionGraph, OutputRef
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import RecipeError, load

RECIPE = """\
version: 1
project: p
models:
  m:
    source: {factory: "model:build"}
    inputs: {x: {shape: [N, 4]}}
    outputs: {y: {}}
  given:
    source: {onnx: given.onnx}
    inputs: {x: {shape: [N, 4]}}
    outputs: {y: {}}
targets:
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def graph(catalog: Catalog, folder: Path, *entries: str) -> ActionGraph:
    of = {entry: "" if "models:" in entry else "models: [m], " for entry in entries}
    lines = [f"    - {{{models}{entry}}}\n" for entry, models in of.items()]
    (folder / "deploy.yaml").write_text(RECIPE + "  server:\n" + "".join(lines))
    (folder / "model.py").write_text("")
    (folder / "given.onnx").write_text("")
    return make_graph(load(folder / "deploy.yaml", environ={}, checks=[check(catalog)]), catalog)


def refusal(catalog: Catalog, folder: Path, entry: str) -> tuple[str, str | None]:
    with pytest.raises(RecipeError) as caught:
        graph(catalog, folder, entry)
    (told,) = caught.value.diagnostics
    return told.message, told.hint


def source(found: ActionGraph, action: Action) -> Action:
    """The step whose artifact a step takes."""
    ref = action.inputs["artifact"]
    assert isinstance(ref, OutputRef)
    return found.actions[ref.action]


def test_what_is_asked_of_one_deployable_is_done_to_no_other(
    catalog: Catalog, tmp_path: Path
) -> None:
    found = graph(
        catalog,
        tmp_path,
        "format: onnx, options: {simplify: true, optimize: bert}",
        "format: onnx, name: plain",
        "format: ort",
        "format: tflite, route: onnx",
    )
    fused, plain, ort, tflite = found.deployables
    assert fused.route.rules == ("torch.export", "onnx.export", "onnx.simplify", "onnx.optimize")
    made = found.actions[fused.artifact.action]
    assert made.options["format"] == {"optimize": "bert", "num_heads": 0, "hidden_size": 0}
    assert source(found, made).rule == "onnx.simplify"
    export = source(found, source(found, made))
    assert plain.artifact.action == export.id
    assert source(found, found.actions[ort.artifact.action]) is export
    assert source(found, found.actions[tflite.artifact.action]) is export


def test_each_exporter_is_a_step_of_its_own(catalog: Catalog, tmp_path: Path) -> None:
    found = graph(
        catalog,
        tmp_path,
        "format: onnx",
        "format: onnx, route: torchscript, name: a",
        "format: onnx, route: exported, name: b",
    )
    default, traced, program = (d.artifact.action for d in found.deployables)
    assert default == program != traced
    assert found.deployables[1].route.rules == ("torch.capture", "onnx.export")


def test_a_route_that_would_mean_nothing_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    told = refusal(catalog, tmp_path, "format: onnx, route: exported, models: [given]")
    assert told == (
        "`given` comes to onnx by onnx.adopt, the only way: `route` would mean nothing",
        "delete it, or leave the model out with `models`",
    )


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            "opset: 8",
            "onnx option `opset`: input should be greater than or equal to 9",
            "`opset` goes from 9 to 24",
        ),
        (
            "opset: 25",
            "onnx option `opset`: input should be less than or equal to 24",
            "`opset` goes from 9 to 24",
        ),
        (
            "num_heads: 12",
            "onnx option `num_heads`: it means nothing without `optimize`",
            None,
        ),
        (
            "optimize: brt",
            "onnx option `optimize`: input should be 'none', 'bart', 'bert', 'clip', 'gpt2', 'swin', "
            "'t5' or 'vit'",
            None,
        ),
        ("optimise: bert", "onnx has no option `optimise`", "did you mean `optimize`?"),
    ],
)
def test_options_that_cannot_be(
    catalog: Catalog, tmp_path: Path, options: str, message: str, hint: str | None
) -> None:
    told = refusal(catalog, tmp_path, f"format: onnx, options: {{{options}}}")
    assert told == (message, hint)


def test_options_of_a_file_of_yours_are_its_refinements(catalog: Catalog, tmp_path: Path) -> None:
    found = graph(catalog, tmp_path, "format: onnx, models: [given], options: {simplify: true}")
    assert found.deployables[0].route.rules == ("onnx.adopt", "onnx.simplify")
    (message, _) = refusal(catalog, tmp_path, "format: onnx, models: [given], options: {opset: 17}")
    assert message == "`given` comes to onnx by onnx.adopt, which has no option `opset`"
