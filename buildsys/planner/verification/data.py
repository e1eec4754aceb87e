"""Actions that load datasets, draw samples from them, and compute a metric in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buildsys.backends.base import Output
from buildsys.planner.builder import GraphBuilder, host_worker, rule_worker
from buildsys.planner.graph import FileInput, Input, OutputRef
from buildsys.planner.source import ModelSource
from buildsys.recipe import Recipe

DRAW = "buildsys.verify.outputs.samples:draw"
LABELLED = ("evaluation", "training")
"""What data is drawn for that comes with labels."""
IMAGES = "images"
"""What the array of a folder of images is called."""
SAMPLES = (Output("samples", "samples.npz"),)


def samples(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource
) -> tuple[OutputRef, OutputRef | None]:
    """The model's samples, and the data of its evaluation."""
    declared = source.model.samples
    origin = ("models", source.name, "samples")
    if declared.dataset is None:
        drawn = OutputRef(
            builder.add(
                "data.sample",
                host_worker(DRAW),
                environment=None,
                inputs={},
                options={
                    "ports": source.ports,
                    "random": declared.random,
                    "count": declared.count,
                    "seed": declared.seed,
                },
                outputs=SAMPLES,
                origin=origin,
                slot=f"{source.name}:samples",
            ),
            "samples",
        )
    else:
        drawn = draw(
            builder, recipe, source, declared.dataset, "samples", declared.count, None, origin
        )
    if source.model.evaluate is None:
        return drawn, None
    origin = ("models", source.name, "evaluate")
    name = source.model.evaluate.dataset
    return drawn, draw(builder, recipe, source, name, "evaluation", None, None, origin)


def draw(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    dataset_name: str,
    role: str,
    count: int | None,
    seed: int | None,
    origin: tuple[str | int, ...],
) -> OutputRef:
    """Draws `count` rows of a dataset for a model: the first ones, or by `seed` at random."""
    dataset = recipe.spec.datasets[dataset_name]
    arrays = dict(dataset.inputs)
    if dataset.preprocess is not None and len(source.ports) == 1:
        arrays.setdefault(source.ports[0]["name"], IMAGES)
    inputs: dict[str, Input] = {"source": _rows(builder, recipe, source, dataset_name)}
    action = builder.add(
        "data.sample",
        host_worker(DRAW),
        environment=None,
        inputs=inputs,
        options={
            "ports": source.ports,
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
        slot=f"{source.name}:{role}",
    )
    return OutputRef(action, "samples")


def _labels(declared: str | tuple[str, ...] | None) -> str | list[str] | None:
    """The names of labels as plain JSON."""
    return list(declared) if isinstance(declared, tuple) else declared


def _rows(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource, name: str
) -> FileInput | OutputRef:
    """The arrays of a dataset: a file of the user's, or what loading it gives."""
    dataset = recipe.spec.datasets[name]
    declared: Any = dataset.source
    place = ("datasets", name, "source")
    if not isinstance(declared, str):
        action = builder.add(
            "data.load",
            rule_worker(builder.catalog.backend("data"), function="worker:load"),
            environment=source.environment,
            inputs={},
            options={
                "python": declared.python,
                "limit": dataset.limit,
                **({} if declared.files is None else {"files": list(declared.files)}),
            },
            outputs=SAMPLES,
            user_code=True,
            origin=place,
            slot=f"dataset:{name}",
        )
        return OutputRef(action, "samples")
    path = recipe.folder / declared
    if not Path(path).is_dir():
        return FileInput(path, place)
    preprocess = dataset.preprocess
    action = builder.add(
        "data.images",
        rule_worker(builder.catalog.backend("data"), function="worker:images"),
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
        slot=f"dataset:{name}",
    )
    return OutputRef(action, "samples")


def metric(
    builder: GraphBuilder, source: ModelSource, inputs: dict[str, Input], label: str
) -> OutputRef:
    """The user's own metric over the evaluation's outputs of the artifact and of the original."""
    names = ["got_evaluation", "reference_evaluation", "evaluation"]
    if "transformed_evaluation" in inputs:
        names.append("transformed_evaluation")
    action = builder.add(
        "data.metric",
        rule_worker(builder.catalog.backend("data"), function="worker:metric"),
        environment=source.environment,
        inputs={name: inputs[name] for name in names},
        options={
            "python": source.metric_function,
            "resamples": source.resamples,
            **{name: v for name, v in source.declaration.items() if name == "files"},
        },
        outputs=(Output("metric", "metric.json"),),
        user_code=True,
        origin=("models", source.name, "evaluate"),
        slot=label,
    )
    return OutputRef(action, "metric")
