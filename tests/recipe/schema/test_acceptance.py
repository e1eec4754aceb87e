"""Bounds on outputs and for targets by name."""

from __future__ import annotations

import pytest

from tests.recipe.project import Project

CLOSE = "{signal_error: 1e-4}"


def test_they_are_read(project: Project) -> None:
    bounds = "{outputs: {logits: {max_abs: 0.5}}, targets: {ios: {metric_drop: 0.1}}}"
    project.edit((CLOSE, bounds))
    close = project.load().spec.acceptance["close"]
    assert close.outputs["logits"].limit("max_abs") == 0.5
    assert close.targets["ios"].limit("metric_drop") == 0.1


@pytest.mark.parametrize(
    ("bounds", "message", "hint"),
    [
        ("{outputs: {logit: {max_abs: 1}}}",
         "no model that is held to `close` has an output `logit`", "did you mean `logits`?"),
        ("{targets: {ios: {outputs: {scores: {rmse: 1}}}}}",
         "no model that is held to `close` has an output `scores`", "their outputs are `logits`"),
        ("{targets: {iso: {max_abs: 1}}}", "unknown target `iso`", "did you mean `ios`?"),
        ("{outputs: {}}", "no bound is given", "add one, for example `signal_error: 1e-3`"),
        ("{outputs: {logits: {}}}", "no bound is given",
         "add one, for example `signal_error: 1e-3`"),
        ("{outputs: {logits: {size_ratio: 1}}}", "unknown key `size_ratio`", None),
        ("{targets: {ios: {targets: {}}}}", "unknown key `targets`", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    project: Project, bounds: str, message: str, hint: str | None
) -> None:
    project.edit((CLOSE, bounds))
    (found,) = project.findings()
    assert found.message.endswith(message)
    assert found.hint == hint or hint is None
    assert found.position is not None
    assert found.position.line == 21


def test_a_bound_on_the_metric_of_one_target_needs_an_evaluation(project: Project) -> None:
    evaluate = "    evaluate: {dataset: val, metric: top1}\n"
    bounds = "{signal_error: 1e-4, targets: {ios: {metric_drop: 0.1}}}"
    project.edit((CLOSE, bounds), (evaluate, ""), ("accept: shipped", "accept: close"))
    (found,) = project.findings()
    assert (
        found.message
        == "`close` bounds `metric_drop`, and the model `classifier` has no `evaluate`"
    )
    (related,) = found.also
    assert related.line == 20
