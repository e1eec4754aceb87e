"""The actions that change a model before it is captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buildsys.backends.output import Output
from buildsys.planner.drafts import Draft, DraftInput
from buildsys.planner.machine import Machine
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.workers import rule_worker
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


def planned_model(recipe: Recipe, machine: Machine, name: str) -> PlannedModel:
    """A model of the recipe as all of its routes begin with it: with its transforms done."""
    done = PlannedModel.of(recipe, machine, name)
    original = None
    for step in steps(recipe.spec.models, name):
        # Without weights of its own it was nothing yet that something could be lost of.
        if original is None and done.files:
            original = done
        draft = _transform(done, step)
        done = replace(done, files={part: draft[part] for part in (WEIGHTS, STRUCTURE)})
    return replace(done, original=original)


def _transform(model: PlannedModel, step: Step) -> Draft:
    """Drafts a transform of a model as it has become until then."""
    transform, place = step.transform, step.place
    inputs: dict[str, DraftInput] = dict(model.files)
    settings = transform.settings.model_dump(mode="json")
    train = training(transform)
    if train is not None and train.dataset is not None:
        inputs["data"] = data.draw(
            model,
            train.dataset,
            "training",
            (*place, "train"),
            count=train.count,
            seed=train.seed if train.count is not None else None,
        )
    if train is not None:
        settings["train"] = {n: settings["train"][n] for n in ("python", "seed", "args")}
    options: dict[str, Any] = {**model.contract_and_source, "settings": settings}
    if settings.get("floor") is not None:
        _, evaluation = data.samples(model)
        if evaluation is None:
            raise ValueError("a floor without an evaluation")
        inputs["evaluation"] = evaluation
        options["metric"] = {"name": model.metric, "python": model.metric_function}
    if transform.distill is not None:
        teacher = planned_model(model.recipe, model.machine, transform.distill.teacher)
        inputs |= {TEACHER + name: given for name, given in teacher.files.items()}
        # What it is called in the recipe decides nothing.
        settings.pop("teacher")
        options["teacher"] = teacher.contract_and_source
    framework = model.framework
    return Draft(
        f"{framework.name}.{transform.kind}",
        rule_worker(model.backend, function=f"{framework.transforms}:{transform.kind}"),
        slot=f"{step.owner}:{step.index + 1}",
        environment=model.environment,
        inputs=inputs,
        options=options,
        outputs=OUTPUTS,
        user_code=True,
        origin=place,
        resumes=True,
    )
