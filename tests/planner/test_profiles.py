"""What a quantization profile says, and which steps are told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildsys.planner import ActionGraph, Catalog, check, make_graph
from buildsys.planner.graph import OutputRef
from buildsys.recipe import RecipeError, load

RECIPE = """\
version: 1
project: p
models:
  m:
    source: {{factory: "model:build"}}
    inputs: {{x: {{shape: [N, 4]}}}}
    outputs: {{y: {{}}}}
quantization:
  q: {profile}
targets:
  ios:
    - {{format: {format}, quantization: q, options: {options}}}
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def graph(
    catalog: Catalog, folder: Path, format: str, profile: str, options: str = "{}"
) -> ActionGraph:
    text = RECIPE.format(format=format, profile=profile, options=options)
    (folder / "deploy.yaml").write_text(text)
    (folder / "model.py").write_text("")
    return make_graph(load(folder / "deploy.yaml", environ={}, checks=[check(catalog)]), catalog)


def test_a_step_that_makes_the_scheme_while_it_converts_is_told_what_it_reads(
    catalog: Catalog, tmp_path: Path
) -> None:
    told = {}
    for globs in ("", ", keep_float: [mask]", ", keep_float: []"):
        found = graph(catalog, tmp_path, "coreml", f"{{scheme: float16{globs}}}")
        (converted,) = [a for a in found.actions.values() if a.rule == "coreml.convert"]
        told[globs] = converted.options.get("quantization")
    # What is written out as the default is what is left out: one key.
    assert list(told.values()) == [None, {"keep_float": ["mask"]}, None]


DATA = """\
datasets:
  train: {source: train.npz, inputs: {x: x}}
"""


def test_a_step_that_makes_integers_while_it_converts_is_calibrated(
    catalog: Catalog, tmp_path: Path
) -> None:
    calibration = "calibration: {dataset: train, count: 8, method: percentile}"
    text = RECIPE.format(
        format="executorch",
        options="{}",
        profile=f"{{scheme: static, per_channel: false, {calibration}}}",
    )
    (tmp_path / "deploy.yaml").write_text(DATA + text)
    (tmp_path / "model.py").write_text("")
    np.savez(tmp_path / "train.npz", x=np.zeros((16, 4), np.float32))
    found = make_graph(load(tmp_path / "deploy.yaml", environ={}, checks=[check(catalog)]), catalog)
    (converted,) = [a for a in found.actions.values() if a.rule == "executorch.convert"]
    assert converted.options["quantization"] == {
        "scheme": "static",
        "bits": 8,
        "per_channel": False,
        "keep_float": [],
        "calibration": {"method": "percentile"},
    }
    assert converted.options["scheme"] == "static"
    given = converted.inputs["calibration"]
    assert isinstance(given, OutputRef)
    drawn = found.actions[given.action]
    assert drawn.options["count"] == 8
    assert [output.name for output in converted.outputs] == ["artifact", "io", "ranges"]


def test_what_a_format_does_not_read_is_an_error(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        graph(catalog, tmp_path, "mlmodel", "{scheme: float16, keep_float: [mask]}")
    (told,) = caught.value.diagnostics
    assert told.message == (
        "mlmodel has no `keep_float` with `float16`: that of `q` would mean nothing"
    )
    assert told.hint == "give it a profile without `keep_float`"
    assert [place and place.line for place in (told.position, *told.also)] == [12, 9]


def refused(catalog: Catalog, folder: Path, format: str, profile: str) -> str:
    with pytest.raises(RecipeError) as caught:
        graph(catalog, folder, format, profile)
    (told,) = caught.value.diagnostics
    return f"{told.message}; {told.hint}"


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ("bits: 4, palette: kmeans", {"bits": 4, "palette": "kmeans"}),
        ("palette: uniform", {"bits": 8, "palette": "uniform"}),
        ("sparsity: 0.5", {"sparsity": 0.5}),
        ("sparsity: 0.5, bits: 8", {"sparsity": 0.5, "bits": 8}),
        ("bits: 4, block_size: 32", {"bits": 4, "block_size": 32}),
    ],
)
def test_what_is_asked_of_weights_reaches_the_step(
    catalog: Catalog, tmp_path: Path, profile: str, told: dict[str, object]
) -> None:
    newest = "{minimum_deployment_target: iOS18}"
    found = graph(catalog, tmp_path, "coreml", f"{{scheme: weight-only, {profile}}}", newest)
    (step,) = [a for a in found.actions.values() if a.rule == "coreml.quantize"]
    settings = dict(step.options["quantization"])
    assert (settings.pop("scheme"), settings.pop("per_channel")) == ("weight-only", True)
    assert {k: v for k, v in settings.items() if v not in ([], ())} == told


def test_widths_are_those_of_palettes_where_one_is_asked_for(
    catalog: Catalog, tmp_path: Path
) -> None:
    linear = refused(catalog, tmp_path, "coreml", "{scheme: weight-only, bits: 6}")
    assert linear.endswith("coreml takes 4 or 8 bits here")
    palette = refused(
        catalog, tmp_path, "coreml", "{scheme: weight-only, bits: 5, palette: kmeans}"
    )
    assert palette.endswith("coreml takes 1 or 2 or 3 or 4 or 6 or 8 bits here")


@pytest.mark.parametrize("field", ["palette: kmeans", "block_size: 32", "sparsity: 0.5"])
def test_other_formats_refuse_them(catalog: Catalog, tmp_path: Path, field: str) -> None:
    said = refused(catalog, tmp_path, "tflite", f"{{scheme: weight-only, {field}}}")
    name = field.partition(":")[0]
    assert said.startswith(f"tflite has no `{name}` with `weight-only`")


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("{scheme: float16, sparsity: 0.5}", "`sparsity` means nothing to the scheme `float16`"),
        (
            "{scheme: weight-only, palette: kmeans, symmetric: true}",
            "`symmetric` means nothing to a palette",
        ),
        (
            "{scheme: weight-only, sparsity: 0.5, block_size: 8}",
            "`block_size` means nothing where weights are only pruned",
        ),
    ],
)
def test_what_means_nothing_together(
    catalog: Catalog, tmp_path: Path, profile: str, message: str
) -> None:
    assert refused(catalog, tmp_path, "coreml", profile).startswith(message)
