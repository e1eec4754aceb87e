"""Whose metric counts by default, and that a tolerance is no input."""

from __future__ import annotations

import pytest

from buildsys.engine.outcome.verdicts import Verdict
from buildsys.planner.catalog import Catalog
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import load
from tests.space import Space

LABEL = "android/m.tflite-half"
DEFAULT = ("quantization: half, accept: close}", "quantization: half}")


def verdict(space: Space, label: str = LABEL) -> Verdict:
    (found,) = space.build(label).verdicts
    return found


def test_the_default_holds_to_the_metric_and_editing_it_only_judges(space: Space) -> None:
    space.edit("deploy.yaml", *DEFAULT)
    first = verdict(space)
    assert first.deployable.limits.bounds["metric_drop"] == 0.05
    (gate,) = [g for g in first.gates if g.bound == "metric_drop"]
    assert (gate.value, gate.passed) == (0.0, True)
    assert gate.reason is not None
    assert gate.reason.startswith("0.00 points, 95 %: -")
    space.edit("deploy.yaml", "close: {signal_error", "close: {metric_drop: 0.01, signal_error")
    space.edit("deploy.yaml", DEFAULT[1], DEFAULT[0])
    build = space.build(LABEL)
    assert build.run.executed == []
    (gate,) = [g for g in build.verdicts[0].gates if g.bound == "metric_drop"]
    assert gate.limit == 0.01


def test_without_an_evaluation_outputs_alone_count(space: Space) -> None:
    space.edit("deploy.yaml", *DEFAULT)
    space.edit("deploy.yaml", "    evaluate: {dataset: val, metric: top1}\n", "")
    assert "metric_drop" not in verdict(space).deployable.limits.bounds


@pytest.mark.parametrize(
    ("profile", "limit"),
    [
        ("{scheme: weight-only}", 0.15),
        ("{scheme: weight-only, bits: 4}", 0.5),
        ("{scheme: weight-only, bits: 8, palette: kmeans}", 0.5),
        ("{scheme: weight-only, sparsity: 0.5}", 0.5),
        ("{scheme: float16}", 0.02),
    ],
)
def test_few_bits_have_wider_bounds_on_outputs(space: Space, profile: str, limit: float) -> None:
    space.write(
        "deploy.yaml",
        "version: 1\nproject: p\nmodels:\n  m:\n    source: {factory: 'model:build'}\n"
        "    inputs: {x: {shape: [N, 4]}}\n    outputs: {y: {}}\n"
        f"quantization:\n  q: {profile}\n"
        "targets:\n  ios:\n    - format: coreml\n      quantization: q\n"
        "      options: {minimum_deployment_target: iOS18}\n",
    )
    catalog = Catalog.load()
    recipe = load(space.project / "deploy.yaml", environ={}, checks=[check(catalog)])
    (deployable,) = make_graph(recipe, catalog).deployables
    assert deployable.limits.bounds["signal_error"] == limit
