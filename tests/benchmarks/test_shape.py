"""The pipeline is what it says, for our planner and for every other tool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import copying_backend, shape
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, FileInput
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import load

OF_RULES = {
    "copied.capture": "model.trace",
    "copied.export": "model.onnx",
    "copied.simplify": "model.sim",
    "copied.quantize": "int8.sim",
    "copied.tflite": "model.tflite",
    "copied.ort": "model.ort",
    "copied.coreml": "model.coreml",
    "copied.check": "model.checked",
    "copied.bundle": "model.bundle",
    "data.sample": "samples.npz",
}
"""What a rule makes, as the shape calls it."""


def actions(tmp_path: Path, number: int) -> dict[str, Action]:
    shape.write("modelbuild", number, tmp_path)
    catalog = Catalog.load([copying_backend.load()])
    recipe = load(tmp_path / "deploy.yaml", environ=os.environ, checks=[check(catalog)])
    return make_graph(recipe, catalog).actions


@pytest.mark.parametrize("number", [10, 50])
def test_the_planner_makes_the_very_same_graph(tmp_path: Path, number: int) -> None:
    made = actions(tmp_path, number)
    assert len(made) == number
    found: set[tuple[str, str]] = set()
    for action in made.values():
        model = action.id.partition("#")[0].partition(":")[0].partition("/")[2]
        model = (model or action.id[:6])[:6]
        output = shape.where(model, OF_RULES[action.rule])
        for name, given in action.inputs.items():
            if isinstance(given, FileInput):
                found.add((str(given.path.relative_to(tmp_path)), output))
            elif name != "io":  # The contract beside each artifact is ours alone.
                found.add((shape.where(model, OF_RULES[made[given.action].rule]), output))
    expected = {(file, output) for _, inputs, output in shape.steps(number) for file in inputs}
    discovered = {edge for edge in expected if edge[0].endswith((".src", "data.bin"))}
    assert found == expected - discovered
    assert len(discovered) == 2 * number // shape.PER_MODEL


def test_no_source_is_like_another(tmp_path: Path) -> None:
    shape.write("make", 100, tmp_path)
    contents = [file.read_bytes() for file in (tmp_path / "src").rglob("*.*")]
    assert len(contents) == len(set(contents)) == 40


def test_what_depends_on_the_edited_file() -> None:
    below = {shape.EDITED}
    for output, inputs in shape.ACTIONS:
        if below & set(inputs):
            below.add(output)
    assert len(below) - 1 == shape.BELOW_EDITED


@pytest.mark.parametrize("tool", sorted(shape.WRITERS))
def test_every_tool_gets_all_actions(tmp_path: Path, tool: str) -> None:
    shape.write(tool, 20, tmp_path)
    text = "".join(file.read_text() for file in tmp_path.iterdir() if file.is_file())
    if tool in ("make", "ninja", "dvc"):
        for name, _, output in shape.steps(20):
            assert output in text, name
    elif tool != "modelbuild":
        for output, inputs in shape.ACTIONS:
            assert all(file in text for file in (output, *inputs))


@pytest.mark.parametrize("number", [0, 5, 15, -10])
def test_only_multiples_of_ten(number: int) -> None:
    with pytest.raises(ValueError, match="multiple of 10"):
        shape.models(number)
