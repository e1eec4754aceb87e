"""What the parts of a recipe must have in common."""

from __future__ import annotations

from collections.abc import Iterator

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.hints import did_you_mean
from buildsys.recipe.model import Model
from buildsys.recipe.quality import OutputBounds
from buildsys.recipe.recipe import Recipe


def disagreements(recipe: Recipe) -> list[Diagnostic]:
    """Parts of a recipe that do not fit together.

    The recipe's names must be resolved: every reference leads to a definition.
    """
    return [
        *_equal_labels(recipe),
        *_uncovered_inputs(recipe),
        *_unlabelled_metrics(recipe),
        *_pictures(recipe),
        *_bounds_without_metric(recipe),
        *_bounds_on_nothing(recipe),
    ]


def _equal_labels(recipe: Recipe) -> Iterator[Diagnostic]:
    seen: dict[str, tuple[str, int]] = {}
    for target, entries in recipe.spec.targets.items():
        for index, entry in enumerate(entries):
            for model in entry.models or recipe.spec.models:
                label = entry.label(target, model)
                if label not in seen:
                    seen[label] = (target, index)
                    continue
                yield Diagnostic(
                    f"two deployables would have the label `{label}`",
                    recipe.where("targets", target, index),
                    "give one of them a `name`",
                    (recipe.where("targets", *seen[label]).noted("the first one"),),
                )


def _dataset_uses(recipe: Recipe) -> Iterator[tuple[str, Model, str, tuple[str, ...]]]:
    """Each use of a dataset for a model: model name, model, dataset name, place."""
    for name, model in recipe.spec.models.items():
        if model.samples.dataset is not None:
            yield name, model, model.samples.dataset, ("models", name, "samples", "dataset")
        if model.evaluate is not None:
            yield name, model, model.evaluate.dataset, ("models", name, "evaluate", "dataset")
    calibrated: dict[tuple[str, str], None] = {}
    for entries in recipe.spec.targets.values():
        for entry in entries:
            if entry.quantization is not None:
                for name in entry.models or recipe.spec.models:
                    calibrated[entry.quantization, name] = None
    for profile, name in calibrated:
        calibration = recipe.spec.quantization[profile].calibration
        if calibration is not None:
            place = ("quantization", profile, "calibration", "dataset")
            yield name, recipe.spec.models[name], calibration.dataset, place


def _uncovered_inputs(recipe: Recipe) -> Iterator[Diagnostic]:
    for name, model, dataset, place in _dataset_uses(recipe):
        arrays = recipe.spec.datasets[dataset].inputs
        for port in model.inputs if arrays else ():
            if port not in arrays:
                yield Diagnostic(
                    f"the dataset `{dataset}` has nothing for the input `{port}` of `{name}`",
                    recipe.where(*place),
                    f"add it to `datasets.{dataset}.inputs`",
                    (recipe.where("datasets", dataset, "inputs").noted("its inputs"),),
                )


def _unlabelled_metrics(recipe: Recipe) -> Iterator[Diagnostic]:
    for name, model in recipe.spec.models.items():
        evaluate = model.evaluate
        if evaluate is None or evaluate.metric is None:
            continue
        dataset = recipe.spec.datasets[evaluate.dataset]
        # A folder of images has its sub-folders for labels, a function can return them.
        file = isinstance(dataset.source, str) and not recipe.resolve(dataset.source).is_dir()
        if file and dataset.labels is None:
            yield Diagnostic(
                f"the metric `{evaluate.metric}` needs labels, and the dataset "
                f"`{evaluate.dataset}` has none",
                recipe.where("models", name, "evaluate", "metric"),
                "name its array of labels: `labels: y`",
                (recipe.where_key("datasets", evaluate.dataset).noted("the dataset"),),
            )


def _pictures(recipe: Recipe) -> Iterator[Diagnostic]:
    for name, dataset in recipe.spec.datasets.items():
        source = dataset.source
        folder = isinstance(source, str) and recipe.resolve(source).is_dir()
        if folder and dataset.preprocess is None:
            yield Diagnostic(
                f"the folder of images `{source}` needs `preprocess`",
                recipe.where("datasets", name, "source"),
                "say how a picture becomes an array: `preprocess: {size: [224, 224]}`",
            )
        if not folder and dataset.preprocess is not None:
            yield Diagnostic(
                "`preprocess` needs a folder of images as the `source`",
                recipe.where_key("datasets", name, "preprocess"),
                "delete it",
            )


def _bounds_without_metric(recipe: Recipe) -> Iterator[Diagnostic]:
    for target, entries in recipe.spec.targets.items():
        for index, entry in enumerate(entries):
            if entry.accept is None:
                continue
            accepted = recipe.spec.acceptance[entry.accept]
            if "metric_drop" not in accepted.bounds(target):
                continue
            for name in entry.models or recipe.spec.models:
                if recipe.spec.models[name].evaluate is None:
                    place = () if accepted.metric_drop is not None else ("targets", target)
                    bound = recipe.where("acceptance", entry.accept, *place, "metric_drop")
                    yield Diagnostic(
                        f"`{entry.accept}` bounds `metric_drop`, and the model `{name}` has no "
                        "`evaluate`",
                        recipe.where("targets", target, index, "accept"),
                        f"add `evaluate: {{dataset: NAME, metric: top1}}` to `models.{name}`",
                        (bound.noted("the bound"),),
                    )


def _bounds_on_nothing(recipe: Recipe) -> Iterator[Diagnostic]:
    """Bounds for targets, and on outputs, that nothing held to them has."""
    for name, accepted in recipe.spec.acceptance.items():
        known = _outputs_held_to(recipe, name)
        sections: list[tuple[tuple[str, ...], dict[str, OutputBounds]]] = [
            (("outputs",), accepted.outputs)
        ]
        for target, bounds in accepted.targets.items():
            place = ("targets", target)
            if target not in recipe.spec.targets:
                yield Diagnostic(
                    f"unknown target `{target}`",
                    recipe.where_key("acceptance", name, *place),
                    did_you_mean(target, recipe.spec.targets, "", "defined are:"),
                )
            sections.append(((*place, "outputs"), bounds.outputs))
        for keys, outputs in sections:
            for output in outputs:
                if output not in known:
                    yield Diagnostic(
                        f"no model that is held to `{name}` has an output `{output}`",
                        recipe.where_key("acceptance", name, *keys, output),
                        did_you_mean(output, known, "", "their outputs are"),
                    )


def _outputs_held_to(recipe: Recipe, acceptance: str) -> dict[str, None]:
    """Names of the outputs of all models that are held to tolerances; of all models if none is."""
    entries = [e for found in recipe.spec.targets.values() for e in found if e.accept == acceptance]
    models = {m: None for e in entries for m in e.models or recipe.spec.models}
    return {o: None for m in models or recipe.spec.models for o in recipe.spec.models[m].outputs}
