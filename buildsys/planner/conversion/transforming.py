"""The actions that change a model before it is captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buildsys.backends.base import Output
from buildsys.planner.builder import GraphBuilder, rule_worker
from buildsys.planner.graph import Input, OutputRef
from buildsys.planner.source import ModelSource
from buildsys.planner.verification import data
from buildsys.recipe import Recipe
from buildsys.recipe.schema.lineage import Step, steps, training

WEIGHTS, STRUCTURE = "weights", "structure"
OUTPUTS = (
    Output(WEIGHTS, "weights.safetensors"),
    Output(STRUCTURE, "structure.json"),
    Output("report", "report.json"),
)
TEACHER = "teacher."
"""Begins the names of the teacher's files."""


def source_of(builder: GraphBuilder, recipe: Recipe, name: str) -> ModelSource:
    """A model of the recipe as everything below sees it: with its transforms done."""
    done = ModelSource.of(recipe, name, recipe.spec.models[name])
    original = None
    for step in steps(recipe.spec.models, name):
        # Without weights of its own it was nothing yet that something could be lost of.
        if original is None and done.files:
            original = done
        action = _transform(builder, recipe, done, step)
        files: dict[str, Input] = {part: OutputRef(action, part) for part in (WEIGHTS, STRUCTURE)}
        done = replace(done, files=files)
    return replace(done, original=original)


def _transform(builder: GraphBuilder, recipe: Recipe, source: ModelSource, step: Step) -> str:
    """Adds a transform of a model as it has become until then."""
    transform, place = step.transform, step.place
    inputs: dict[str, Input] = dict(source.files)
    settings = transform.settings.model_dump(mode="json")
    train = training(transform)
    if train is not None and train.dataset is not None:
        inputs["data"] = data.draw(
            builder,
            recipe,
            source,
            train.dataset,
            role="training",
            count=train.count,
            seed=train.seed if train.count is not None else None,
            origin=(*place, "train"),
        )
    if train is not None:
        settings["train"] = {n: settings["train"][n] for n in ("python", "seed", "args")}
    options: dict[str, Any] = {
        "ports": source.ports,
        "outputs": source.outputs,
        "source": source.declaration,
        "settings": settings,
    }
    if settings.get("floor") is not None:
        _, evaluation = data.samples(builder, recipe, source)
        if evaluation is None:
            raise ValueError("a floor without an evaluation")
        inputs["evaluation"] = evaluation
        options["metric"] = {"name": source.metric, "python": source.metric_function}
    if transform.distill is not None:
        teacher = source_of(builder, recipe, transform.distill.teacher)
        inputs |= {TEACHER + name: given for name, given in teacher.files.items()}
        # What it is called in the recipe decides nothing.
        settings.pop("teacher")
        options["teacher"] = {
            "ports": teacher.ports,
            "outputs": teacher.outputs,
            "source": teacher.declaration,
        }
    backend, declared = builder.catalog.source(source.kind)
    return builder.add(
        f"{declared.name}.{transform.kind}",
        rule_worker(backend, function=f"{declared.transforms}:{transform.kind}"),
        environment=source.environment,
        inputs=inputs,
        options=options,
        outputs=OUTPUTS,
        user_code=True,
        origin=place,
        slot=f"{step.owner}:{step.index + 1}",
        resumes=True,
    )
