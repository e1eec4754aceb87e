"""Transforms that do not fit their models, or each other."""

from __future__ import annotations

from collections.abc import Iterator

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.recipe import Recipe
from buildsys.recipe.schema.lineage import Step, steps, training
from buildsys.recipe.schema.model import Model

FLOORED = ("top1", "top5", "mse", "mae")
"""Metrics that pruning can watch over, besides functions of the project's own."""


def disagreements(recipe: Recipe) -> Iterator[Diagnostic]:
    """Transforms that do not fit their models, or each other."""
    models = recipe.spec.models
    for name, model in models.items():
        if model.transforms and model.source.factory is None:
            yield Diagnostic(
                f"`{name}` is a file, which nothing can be trained or pruned in",
                recipe.where_key("models", name, "transforms"),
                "transforms need a `factory` under `source`",
                (recipe.where("models", name, "source").noted("its source"),),
            )
            continue
        for step in steps(models, name):
            if step.owner == name:
                yield from _of_step(recipe, step, model)
        yield from _order(recipe, name)
    yield from _circles(recipe)


def _of_step(recipe: Recipe, step: Step, model: Model) -> Iterator[Diagnostic]:
    settings, train = step.transform.settings, training(step.transform)
    if step.transform.prune is not None and step.transform.prune.floor is not None:
        evaluate = model.evaluate
        if evaluate is None:
            yield Diagnostic(
                f"`floor` bounds the metric of `{step.owner}`, which has no `evaluate`",
                recipe.where_key(*step.place, "floor"),
                f"add `evaluate: {{dataset: NAME, metric: top1}}` to `models.{step.owner}`",
            )
        elif evaluate.python is None and evaluate.metric not in FLOORED:
            yield Diagnostic(
                f"`floor` cannot watch over the metric `{evaluate.metric}`",
                recipe.where_key(*step.place, "floor"),
                f"it can over {', '.join(f'`{each}`' for each in FLOORED)} and `python`",
            )
    if train is not None and train.dataset is not None and "labels" in model.inputs:
        yield Diagnostic(
            "an input may not be called `labels`: that is what `data` has the labels under",
            recipe.where(*step.place, "train", "dataset"),
            "rename the input",
            (recipe.where_key("models", step.owner, "inputs", "labels").noted("the input"),),
        )
    if train is not None and train.dataset is None and train.count is not None:
        yield Diagnostic(
            "`count` needs a `dataset`",
            recipe.where_key(*step.place, "train", "count"),
            "delete it",
        )
    teacher = getattr(settings, "teacher", None)
    if teacher is not None and recipe.spec.models[teacher].source.factory is None:
        yield Diagnostic(
            f"the teacher `{teacher}` is a file, which a training function cannot call",
            recipe.where(*step.place, "teacher"),
            "name a model with a `factory`",
            (recipe.where("models", teacher, "source").noted("its source"),),
        )


def _order(recipe: Recipe, name: str) -> Iterator[Diagnostic]:
    """Whatever trains or prunes after `qat` takes the weights off the grid that it left them on."""
    found = steps(recipe.spec.models, name)
    for step in found[:-1]:
        if step.transform.qat is not None:
            after = found[found.index(step) + 1]
            if after.owner == name:
                yield Diagnostic(
                    f"`{after.transform.kind}` after `qat` undoes what that has learnt",
                    recipe.where_key(*after.place),
                    "`qat` comes last",
                    (recipe.where_key(*step.place).noted("here"),),
                )
            return


def _circles(recipe: Recipe) -> Iterator[Diagnostic]:
    """Teachers that are made of their own pupils."""
    models = recipe.spec.models

    def needed(name: str, seen: set[str]) -> set[str]:
        for step in steps(models, name):
            distill = step.transform.distill
            if distill is not None and distill.teacher not in seen:
                seen.add(distill.teacher)
                needed(distill.teacher, seen)
        if models[name].source.model is not None:
            seen.add(str(models[name].source.model))
            needed(str(models[name].source.model), seen)
        return seen

    for name, model in models.items():
        for index, each in enumerate(model.transforms):
            if each.distill is None:
                continue
            teacher = each.distill.teacher
            if teacher == name or name in needed(teacher, {teacher}) - {teacher}:
                yield Diagnostic(
                    f"the teacher `{teacher}` is made of its own pupil `{name}`",
                    recipe.where("models", name, "transforms", index, "distill", "teacher"),
                    "name a model that is there before",
                )
