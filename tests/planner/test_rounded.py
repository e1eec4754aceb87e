"""Artifacts with rounded weights are compared with the original that has those, where torch runs it."""

from __future__ import annotations

from pathlib import Path

from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.planner.graph import ActionGraph
from buildsys.planner.planning import make_graph
from buildsys.recipe import load

RECIPE = """\
version: 1
project: p
models:
  m:
    source: {source}
    inputs: {{x: {{shape: [1, 4]}}}}
    outputs: {{y: {{}}}}
quantization: {{half: {{scheme: float16}}, w8: {{scheme: weight-only, bits: 8}}}}
targets:
  server: [{entries}]
"""
FACTORY = "{factory: 'model:make'}"


def planned(folder: Path, entries: str, source: str = FACTORY) -> ActionGraph:
    path = folder / "deploy.yaml"
    path.write_text(RECIPE.format(entries=entries, source=source))
    (folder / "model.py").write_text("")
    (folder / "m.onnx").write_text("")
    return make_graph(load(path, environ={}), Catalog.load(load_built_in()))


def rules(graph: ActionGraph) -> list[str]:
    return [action.rule for action in graph.actions.values()]


def measures(graph: ActionGraph) -> dict[str, set[str]]:
    """By label, what its measurement is made of."""
    return {
        each.label: set(graph.actions[each.evidence.measurement.action].inputs)
        for each in graph.deployables
        if each.evidence.measurement is not None
    }


GRAPH = {
    "graph_got",
    "graph_got_edges",
    "graph_reference",
    "graph_reference_edges",
    "graph_told",
}


def test_formats_that_compute_in_float32_or_can(tmp_path: Path) -> None:
    half = "quantization: half"
    graph = planned(
        tmp_path,
        f"{{format: tflite, {half}}}, {{format: openvino, {half}}}, {{format: coreml, {half}}}",
    )
    assert rules(graph).count("torch.rounded") == 3
    assert all(inputs >= GRAPH for inputs in measures(graph).values())
    by_label = {each.label: each for each in graph.deployables}
    for label, name in (("server/m.tflite-half", "samples"), ("server/m.coreml-half", "unrounded")):
        measured = by_label[label].evidence.measurement
        assert measured is not None
        assert by_label[label].quantized.widens is (name == "samples")
        options = graph.actions[measured.action].options
        assert options.get("unrounded", False) is (name == "unrounded")
        got = graph.actions[measured.action].inputs["graph_got"]
        assert getattr(got, "output", None) == name
    evaluated = next(a for a in graph.actions.values() if a.rule == "coreml.evaluate")
    assert {"unrounded", "unrounded_edges"} <= {output.name for output in evaluated.outputs}


def test_what_is_not_rounded_is_measured_as_before(tmp_path: Path) -> None:
    graph = planned(
        tmp_path, "{format: tflite}, {format: coreml}, {format: tflite, quantization: w8}"
    )
    assert "torch.rounded" not in rules(graph)
    assert not any(inputs & GRAPH for inputs in measures(graph).values())
    outputs = {o.name for action in graph.actions.values() for o in action.outputs}
    assert not outputs & {"held", "unrounded"}


def test_what_is_in_float32_runs_without_fast_kernels_as_well(tmp_path: Path) -> None:
    graph = planned(
        tmp_path,
        "{format: tflite}, {format: openvino}, {format: onnx}, {format: tflite, quantization: half}",
    )
    with_plain = {
        each.label
        for each in graph.deployables
        if each.evidence.measurement is not None
        and "plain" in graph.actions[each.evidence.measurement.action].inputs
        and "fast_kernels" in graph.actions[each.evidence.measurement.action].options
    }
    assert with_plain == {"server/m.tflite", "server/m.openvino"}


def test_an_onnx_file_is_run_in_other_precisions_by_its_own_toolchain(tmp_path: Path) -> None:
    graph = planned(tmp_path, "{format: tflite, quantization: half}", "{onnx: m.onnx}")
    (measured,) = measures(graph).values()
    assert measured >= {*GRAPH, "floor"}
    found = {action.rule: action for action in graph.actions.values()}
    assert not {"torch.floor", "torch.rounded"} & set(found)
    for rule in ("onnx.floor", "onnx.rounded"):
        assert found[rule].environment == "onnx"
