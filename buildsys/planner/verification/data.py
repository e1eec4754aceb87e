"""Actions that load datasets, draw samples from them, and compute a metric in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buildsys.backends.output import Output
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.graph import FileInput
from buildsys.planner.model import PlannedModel, Samples
from buildsys.planner.workers import host_worker, rule_worker

DRAW = "buildsys.verify.outputs.samples:draw"
LABELLED = ("evaluation", "training")
"""What data is drawn for that comes with labels."""
IMAGES = "images"
"""What the array of a folder of images is called."""
SAMPLES = (Output("samples", "samples.npz"),)


def samples(model: PlannedModel) -> Samples:
    """The model's samples, and the data of its evaluation; the same before and after transforms."""
    if model.name not in model.samples:
        model.samples[model.name] = _samples(model)
    return model.samples[model.name]


def _samples(model: PlannedModel) -> Samples:
    declared, evaluate = model.declared.samples, model.declared.evaluate
    origin = ("models", model.name, "samples")
    if declared.dataset is None:
        drawn = Draft(
            "data.sample",
            host_worker(DRAW),
            slot=f"{model.name}:samples",
            environment=None,
            options={
                "ports": model.ports,
                "random": declared.random,
                "count": declared.count,
                "seed": declared.seed,
            },
            outputs=SAMPLES,
            origin=origin,
        )["samples"]
    else:
        drawn = draw(model, declared.dataset, "samples", origin, count=declared.count)
    if evaluate is None:
        return drawn, None
    return drawn, draw(model, evaluate.dataset, "evaluation", ("models", model.name, "evaluate"))


def draw(
    model: PlannedModel,
    dataset_name: str,
    role: str,
    origin: tuple[str | int, ...],
    *,
    count: int | None = None,
    seed: int | None = None,
) -> DraftOutput:
    """Draws `count` rows of a dataset for a model: the first ones, or by `seed` at random."""
    dataset = model.recipe.spec.datasets[dataset_name]
    arrays = dict(dataset.inputs)
    if dataset.preprocess is not None and len(model.ports) == 1:
        arrays.setdefault(model.ports[0]["name"], IMAGES)
    return Draft(
        "data.sample",
        host_worker(DRAW),
        slot=f"{model.name}:{role}",
        environment=None,
        inputs={"source": _rows(model, dataset_name)},
        options={
            "ports": model.ports,
            "role": role,
            "arrays": arrays,
            "labels": _labels(dataset.labels) if role in LABELLED else None,
            "limit": dataset.limit,
            "count": count,
            "seed": seed,
        },
        outputs=SAMPLES,
        origin=("datasets", dataset_name, "source"),
        asked=origin,
    )["samples"]


def _labels(declared: str | tuple[str, ...] | None) -> str | list[str] | None:
    """The names of labels as plain JSON."""
    return list(declared) if isinstance(declared, tuple) else declared


def _rows(model: PlannedModel, name: str) -> DraftInput:
    """The arrays of a dataset: a file of the user's, or what loading it gives."""
    dataset = model.recipe.spec.datasets[name]
    declared: Any = dataset.source
    place = ("datasets", name, "source")
    if not isinstance(declared, str):
        return Draft(
            "data.load",
            rule_worker(model.machine.catalog.backend("data"), function="worker:load"),
            slot=f"dataset:{name}",
            environment=model.environment,
            options={
                "python": declared.python,
                "limit": dataset.limit,
                **({} if declared.files is None else {"files": list(declared.files)}),
            },
            outputs=SAMPLES,
            user_code=True,
            origin=place,
        )["samples"]
    path = model.recipe.folder / declared
    if not Path(path).is_dir():
        return FileInput(path, place)
    preprocess = dataset.preprocess
    return Draft(
        "data.images",
        rule_worker(model.machine.catalog.backend("data"), function="worker:images"),
        slot=f"dataset:{name}",
        environment="data",
        inputs={"folder": FileInput(path, place)},
        options={
            "preprocess": preprocess.model_dump(mode="json", exclude_none=True)
            if preprocess
            else {},
            "limit": dataset.limit,
        },
        outputs=SAMPLES,
        origin=place,
    )["samples"]


def metric(model: PlannedModel, inputs: dict[str, DraftInput], label: str) -> DraftOutput:
    """The user's own metric over the evaluation's outputs of the artifact and of the original."""
    names = ["got_evaluation", "reference_evaluation", "evaluation"]
    if "transformed_evaluation" in inputs:
        names.append("transformed_evaluation")
    return Draft(
        "data.metric",
        rule_worker(model.machine.catalog.backend("data"), function="worker:metric"),
        slot=label,
        environment=model.environment,
        inputs={name: inputs[name] for name in names},
        options={
            "python": model.metric_function,
            "resamples": model.resamples,
            **{name: v for name, v in model.declaration.items() if name == "files"},
        },
        outputs=(Output("metric", "metric.json"),),
        user_code=True,
        origin=("models", model.name, "evaluate"),
    )["metric"]
