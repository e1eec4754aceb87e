"""What a quantization profile says, and which steps are told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import ActionGraph, OutputRef
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
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


TWO_STATIC = """\
  one: {{scheme: static, calibration: {{dataset: train}}}}
  two: {{scheme: static, {second}calibration: {{dataset: train}}}}
"""


@pytest.mark.parametrize("format", ["coreml", "openvino"])
def test_two_static_profiles_are_not_mixed_where_a_library_takes_one(
    catalog: Catalog, tmp_path: Path, format: str
) -> None:
    def recipe(second: str) -> str:
        text = RECIPE.format(
            format=format,
            profile="{scheme: mixed, default: one, layers: {fc: two}}",
            options="{minimum_deployment_target: iOS17}" if format == "coreml" else "{}",
        )
        text = text.replace("targets:\n", TWO_STATIC.format(second=second) + DATA + "targets:\n")
        (tmp_path / "deploy.yaml").write_text(text)
        (tmp_path / "model.py").write_text("")
        np.savez(tmp_path / "train.npz", x=np.zeros((8, 4), np.float32))
        return str(tmp_path / "deploy.yaml")

    with pytest.raises(RecipeError) as caught:
        load(Path(recipe("per_channel: false, ")), environ={}, checks=[check(catalog)])
    (told,) = caught.value.diagnostics
    assert told.message == (
        f"{format} cannot mix two profiles of the scheme `static`: `one` and `two`"
    )
    assert told.hint == "give both kinds of layers one profile"
    # Two names of one and the same profile are one.
    load(Path(recipe("")), environ={}, checks=[check(catalog)])


@pytest.mark.parametrize(
    ("format", "port", "told"),
    [
        ("mlmodel", "shape: [N, 4], dtype: float16", "neural networks of Core ML do not take"),
        ("mlmodel", "shape: [N, 4], dtype: bool", "Core ML has no bool inputs"),
        ("coreml", "shape: [N, 4], dtype: bool", "Core ML has no bool inputs"),
        ("mlmodel", "shape: []", "Core ML has no inputs without axes"),
        ("coreml", "shape: []", "Core ML has no inputs without axes"),
    ],
)
def test_inputs_that_core_ml_has_no_type_for_are_refused_before_anything_runs(
    catalog: Catalog, tmp_path: Path, format: str, port: str, told: str
) -> None:
    text = RECIPE.format(format=format, profile="{scheme: float16}", options="{}")
    text = text.replace("shape: [N, 4]", port)
    (tmp_path / "deploy.yaml").write_text(text)
    (tmp_path / "model.py").write_text("")
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "deploy.yaml", environ={}, checks=[check(catalog)])
    (refusal,) = caught.value.diagnostics
    assert refusal.message.startswith(f"{format} of `m`: ")
    assert told in refusal.message
    assert refusal.hint is not None
