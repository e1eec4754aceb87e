"""Where a format's weights can be read, they are compared with the model's, as steps like others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from buildsys.backends.base import Reader
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import ActionGraph, FileInput, OutputRef
from buildsys.planner.planning import make_graph
from buildsys.recipe import load
from buildsys.report.screens.console import print_build
from tests.fakes.numeric.rules import backend
from tests.space import Space, statuses

LABEL = "ios/m.onnx"
STEPS = ("onnx.weights", "torch.weights", "verify.weights")
RECIPE = """\
version: 1
project: p
models:
  m:
    source: {source}
    inputs: {{x: {{shape: [N, 4]}}}}
    outputs: {{y: {{}}}}
targets:
  server: [{{format: onnx}}, {{format: openvino}}, {{format: torchscript, models: [{scripted}]}}]
"""


def catalog() -> Catalog:
    """The fakes, with a reader of `onnx`."""
    formats = tuple(
        replace(f, weights=Reader("host")) if f.name == "onnx" else f for f in backend.formats
    )
    return Catalog.load([replace(backend, formats=formats)])


def test_weights_are_compared_and_the_gate_holds(space: Space) -> None:
    space.catalog = catalog()
    build = space.build()
    assert [space.ran(build)[step] for step in STEPS] == [1, 1, 1]
    onnx, *others = build.verdicts
    assert onnx.measurement is not None
    assert onnx.measurement.weights is not None
    assert onnx.measurement.weights.exact == 1
    (gate,) = (gate for gate in onnx.gates if gate.bound == "weights")
    assert (gate.passed, gate.value, gate.output) == (True, 0.0, None)
    assert not [g for verdict in others for g in verdict.gates if g.bound == "weights"]
    console = Console(width=120, record=True)
    print_build(console, build, 0.0, verbose=True)
    assert f"weights of {LABEL}: 1 of 1 explained (1 exact)" in console.export_text()
    assert not space.ran(space.build())


def test_what_no_tolerance_of_outputs_shows_is_rejected(space: Space) -> None:
    """A gain of a ten-thousandth is within every bound of the recipe."""
    space.catalog = catalog()
    space.edit("deploy.yaml", "{format: onnx,", "{format: onnx, options: {gain: 1.0001},")
    build = space.build(LABEL)
    assert statuses(build) == {LABEL: "rejected"}
    (verdict,) = build.verdicts
    assert [gate.bound for gate in verdict.gates if not gate.passed] == ["weights"]
    assert verdict.reason is not None
    assert verdict.reason.startswith(
        "weights is 1, the bound is 0 (`matrix`, which is `body.matrix`"
    )
    again = space.build(LABEL)
    assert not space.ran(again)
    assert again.verdicts[0].reason == verdict.reason


def test_the_models_weights_are_read_once_for_all_formats(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    found = _graph(tmp_path, '{factory: "model:build"}', "m")
    (own,) = (a for a in found.actions.values() if a.rule == "torch.weights")
    assert (own.environment, own.user_code, "checkpoint" in own.inputs) == ("torch", True, False)
    compared = [a for a in found.actions.values() if a.rule == "verify.weights"]
    assert sorted(a.slots[0].partition(":")[2] for a in compared) == [
        "server/m.onnx#verify.weights",
        "server/m.openvino#verify.weights",
    ]
    read = {a.rule: a.environment for a in found.actions.values() if a.rule.endswith(".weights")}
    assert read["onnx.weights"] == "onnx"
    assert read["openvino.weights"] == "openvino"


def test_the_weights_of_an_onnx_source_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    found = _graph(tmp_path, "{onnx: m.onnx}", "")
    rules = [a.rule for a in found.actions.values()]
    assert "torch.weights" not in rules
    assert rules.count("verify.weights") == 2
    given = FileInput(tmp_path / "m.onnx", ("models", "m", "source", "onnx"))
    own, shipped = (a for a in found.actions.values() if a.rule == "onnx.weights")
    (adopted,) = (a for a in found.actions.values() if a.rule == "onnx.adopt")
    if own.inputs["artifact"] != given:
        own, shipped = shipped, own
    # What was made of the file is no witness for itself.
    assert own.inputs["artifact"] == given
    assert shipped.inputs["artifact"] == OutputRef(adopted.id, "artifact")
    for action in found.actions.values():
        if action.rule == "verify.weights":
            assert action.inputs["original"] == OutputRef(own.id, "weights")


def test_integers_are_compared_with_what_they_were_quantized_from(tmp_path: Path) -> None:
    """Rounded floats are not, and what is a deployable itself is read once."""
    (tmp_path / "model.py").write_text("")
    text = RECIPE.replace(
        "targets:",
        "quantization: {{w8: {{scheme: weight-only, bits: 8}}, half: {{scheme: float16}}}}\ntargets:",
    ).replace(
        "[{{format: onnx}}, {{format: openvino}},",
        "[{{format: onnx, quantization: w8}}, {{format: openvino, quantization: half}}, "
        "{{format: tflite}}, {{format: tflite, quantization: w8}},",
    )
    actions = _graph(tmp_path, '{factory: "model:build"}', "m", text).actions
    told = {
        a.slots[0].partition(":")[2].removesuffix("#verify.weights"): a.inputs.get("floats")
        for a in actions.values()
        if a.rule == "verify.weights"
    }
    with_floats = {label: actions[i.action] for label, i in told.items() if i}  # type: ignore[union-attr]
    assert set(told) - set(with_floats) == {"server/m.openvino-half", "server/m.tflite"}
    made = {
        label: actions[step.inputs["artifact"].action].rule  # type: ignore[union-attr]
        for label, step in with_floats.items()
    }
    assert made == {"server/m.onnx-w8": "onnx.export", "server/m.tflite-w8": "tflite.convert"}
    rules = [a.rule for a in actions.values()]
    assert [rules.count(f"{f}.weights") for f in ("onnx", "tflite", "openvino")] == [2, 2, 1]


def _graph(folder: Path, source: str, scripted: str, recipe: str = RECIPE) -> ActionGraph:
    text = recipe.format(source=source, scripted=scripted)
    if not scripted:
        text = text.replace(", {format: torchscript, models: []}", "")
    (folder / "deploy.yaml").write_text(text)
    return make_graph(load(folder / "deploy.yaml", environ={}), Catalog.load())
