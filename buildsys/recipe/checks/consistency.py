"""What the parts of a recipe must have in common."""

from __future__ import annotations

from collections.abc import Iterator

from buildsys.quantization import CALIBRATED
from buildsys.recipe.checks import transforms
from buildsys.recipe.checks.references import is_folder
from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.hints import did_you_mean
from buildsys.recipe.recipe import Recipe
from buildsys.recipe.schema.acceptance import OutputBounds
from buildsys.recipe.schema.lineage import training
from buildsys.recipe.schema.model import Model
from buildsys.recipe.schema.quantization import FLOAT, Calibration


def disagreements(recipe: Recipe) -> list[Diagnostic]:
    """Parts of a recipe that do not fit together.

    The recipe's names must be resolved: every reference leads to a definition.
    """
    return [
        *_equal_labels(recipe),
        *_uncovered_inputs(recipe),
        *_unlabelled_metrics(recipe),
        *_pictures(recipe),
        *_mixtures(recipe),
        *_searches(recipe),
        *_bounds_without_metric(recipe),
        *_bounds_on_nothing(recipe),
        *transforms.disagreements(recipe),
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


def _dataset_uses(recipe: Recipe) -> Iterator[tuple[str, Model, str, tuple[str | int, ...]]]:
    """Each use of a dataset for a model: model name, model, dataset name, place."""
    for name, model in recipe.spec.models.items():
        if model.samples.dataset is not None:
            yield name, model, model.samples.dataset, ("models", name, "samples", "dataset")
        if model.evaluate is not None:
            yield name, model, model.evaluate.dataset, ("models", name, "evaluate", "dataset")
        for index, transform in enumerate(model.transforms):
            train = training(transform)
            if train is not None and train.dataset is not None:
                step = ("models", name, "transforms", index, transform.kind)
                yield name, model, train.dataset, (*step, "train", "dataset")
    calibrated: dict[tuple[str, str], None] = {}
    for entries in recipe.spec.targets.values():
        for entry in entries:
            if entry.quantization is not None:
                for name in entry.models or recipe.spec.models:
                    calibrated[entry.quantization, name] = None
    for asked, name in calibrated:
        for profile in _meant(recipe, asked):
            declared = recipe.spec.quantization[profile]
            calibration = declared.calibration
            within: tuple[str, ...] = ()
            if declared.search is not None:
                calibration, within = declared.search.calibration, ("search",)
            if calibration is not None:
                place = ("quantization", profile, *within, "calibration", "dataset")
                yield name, recipe.spec.models[name], calibration.dataset, place


def _meant(recipe: Recipe, asked: str) -> Iterator[str]:
    """A profile, those that it gives to layers, and all of those that it may choose."""
    known = recipe.spec.quantization
    search = known[asked].search
    for name in (asked, *(search.schemes if search is not None else ())):
        if name in known:
            yield name
            yield from known[name].mixed_in()


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
        file = isinstance(dataset.source, str) and not is_folder(recipe.resolve(dataset.source))
        if file and dataset.labels is None:
            yield Diagnostic(
                f"the metric `{evaluate.metric}` needs labels, and the dataset "
                f"`{evaluate.dataset}` has none",
                recipe.where("models", name, "evaluate", "metric"),
                "name its array of labels: `labels: y`",
                (recipe.where_key("datasets", evaluate.dataset).noted("the dataset"),),
            )
        elif isinstance(dataset.labels, tuple):
            yield Diagnostic(
                f"the metric `{evaluate.metric}` takes one array of labels, and the dataset "
                f"`{evaluate.dataset}` has {len(dataset.labels)}",
                recipe.where("models", name, "evaluate", "metric"),
                "name one, or compute the metric yourself: `python: module:callable`",
                (recipe.where_key("datasets", evaluate.dataset, "labels").noted("the labels"),),
            )


def _pictures(recipe: Recipe) -> Iterator[Diagnostic]:
    for name, dataset in recipe.spec.datasets.items():
        source = dataset.source
        folder = isinstance(source, str) and is_folder(recipe.resolve(source))
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


def _mixtures(recipe: Recipe) -> Iterator[Diagnostic]:
    """Profiles of layers that are no profiles of layers, or do not go together."""
    if FLOAT in recipe.spec.quantization:
        yield Diagnostic(
            f"no profile may be called `{FLOAT}`: that is what layers are that stay as they are",
            recipe.where_key("quantization", FLOAT),
            "rename it",
        )
    for name, profile in recipe.spec.quantization.items():
        ways: dict[str, Calibration] = {}
        for given in profile.mixed_in():
            of_layer = recipe.spec.quantization[given]
            if of_layer.scheme in ("mixed", None):
                what = "`mixed` itself" if of_layer.scheme else "a search"
                yield Diagnostic(
                    f"`{name}` gives layers the profile `{given}`, which is {what}",
                    recipe.where("quantization", name),
                    "give layers profiles of one scheme each",
                    (recipe.where("quantization", given),),
                )
            if of_layer.calibration is not None:
                ways[given] = of_layer.calibration
        first = next(iter(ways), None)
        for given, way in ways.items():
            if first is not None and way != ways[first]:
                yield Diagnostic(
                    f"`{name}` mixes `{first}` and `{given}`, which are calibrated otherwise",
                    recipe.where("quantization", given, "calibration"),
                    "the model is run once for all layers: give both the same `calibration`",
                    (recipe.where("quantization", first, "calibration"),),
                )


def _searches(recipe: Recipe) -> Iterator[Diagnostic]:
    """Searches that name what they cannot choose, and entries that would be held to something else."""
    known = recipe.spec.quantization
    for name, profile in known.items():
        search = profile.search
        if search is None:
            continue
        for index, given in enumerate(search.schemes):
            place = ("quantization", name, "search", "schemes", index)
            if given in known and known[given].search is not None:
                yield Diagnostic(
                    f"`{given}` is a search itself" if given != name else f"`{name}` names itself",
                    recipe.where(*place),
                    "name what it chooses from",
                    (recipe.where_key("quantization", given),),
                )
            if given in CALIBRATED and given not in known and search.calibration is None:
                yield Diagnostic(
                    f"the scheme `{given}` needs `calibration`",
                    recipe.where(*place),
                    "add `calibration: {dataset: NAME, count: 128}` to the search",
                )
    for target, entries in recipe.spec.targets.items():
        for index, entry in enumerate(entries):
            asked = None if entry.quantization is None else known[entry.quantization].search
            if asked is not None and entry.accept not in (None, asked.subject_to):
                yield Diagnostic(
                    f"the search `{entry.quantization}` is subject to `{asked.subject_to}`: "
                    "what it finds would be held to something else",
                    recipe.where("targets", target, index, "accept"),
                    "delete `accept`: the entry is held to what the search is subject to",
                    (
                        recipe.where(
                            "quantization", str(entry.quantization), "search", "subject_to"
                        ),
                    ),
                )


def _bounds_without_metric(recipe: Recipe) -> Iterator[Diagnostic]:
    for target, entries in recipe.spec.targets.items():
        for index, entry in enumerate(entries):
            held_to = recipe.held_to(entry)
            if held_to is None:
                continue
            accepted = recipe.spec.acceptance[held_to]
            if "metric_drop" not in accepted.bounds(target):
                continue
            for name in entry.models or recipe.spec.models:
                if recipe.spec.models[name].evaluate is None:
                    place = () if accepted.limit("metric_drop") is not None else ("targets", target)
                    bound = recipe.where("acceptance", held_to, *place, "metric_drop")
                    yield Diagnostic(
                        f"`{held_to}` bounds `metric_drop`, and the model `{name}` has no "
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
    everything = (e for found in recipe.spec.targets.values() for e in found)
    entries = [e for e in everything if recipe.held_to(e) == acceptance]
    models = {m: None for e in entries for m in e.models or recipe.spec.models}
    return {o: None for m in models or recipe.spec.models for o in recipe.spec.models[m].outputs}
