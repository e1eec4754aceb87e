"""Measures an artifact against the original model; a step of the coordinator."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildsys.backends.kit import arrays
from buildsys.backends.kit.arrays import LABELS, Arrays
from buildsys.backends.kit.extremes import sizes_of
from buildsys.backends.kit.request import Request, StepError
from buildsys.verify.edges import edges
from buildsys.verify.fault import VerifyError
from buildsys.verify.metrics import compare, variation
from buildsys.verify.spread import spread
from buildsys.verify.tasks import METRICS
from buildsys.verify.wording import noted

OWN_METRIC = "python"
"""The name of a metric that the project computes itself."""


def measure(request: Request) -> None:
    """Writes `measurement`: figures of each output, the task's metric, and what the run cost.

    Inputs: `got` and `reference` (`.npz`, output name to [n, ...]) for the samples; `run`
    (`run.json`); for a metric either `got_evaluation`, `reference_evaluation` and `evaluation`
    (the dataset with its labels), or `metric` (`metric.json` of the project's own metric) beside them;
    where sizes vary `got_extremes` and `reference_extremes` (see `kit.extremes`); maybe `got_edges` and
    `reference_edges` (see `kit.edges`), `floor`
    (`floor.json`: what the model's own precision costs it) and `weights` (`weights.json`, see
    `verify.weights`).
    Options: `outputs`, in the model's order; `metric`, the name of one that is built in, or `null`.

    Raises:
        StepError: The reference or the labels allow no judgement, or an output is missing.
    """
    try:
        record = _record(request)
    except VerifyError as error:
        raise StepError(error.message, error.hint, error.field) from error
    text = json.dumps(_representable(record), indent=1, allow_nan=False, ensure_ascii=False)
    request.outputs["measurement"].write_text(text + "\n", encoding="utf-8")


def check_original(request: Request) -> None:
    """Checks that the original's outputs allow a judgement; for artifacts that nothing runs here.

    Inputs: `reference`. Options: `outputs`. Writes `original` (`original.json`).

    Raises:
        StepError: They are NaN, do not vary over the samples, or are not the recipe's.
    """
    reference = arrays.load(request.inputs["reference"])
    names: list[str] = request.options["outputs"]
    _check_names("the original model", reference, names)
    try:
        for name in names:
            compare(reference[name], reference[name], name)
    except VerifyError as error:
        raise StepError(error.message, error.hint, error.field) from error
    record = {"outputs": names, "samples": len(reference[names[0]])}
    request.outputs["original"].write_text(json.dumps(record) + "\n", encoding="utf-8")


def _record(request: Request) -> dict[str, Any]:
    got, reference = arrays.load(request.inputs["got"]), arrays.load(request.inputs["reference"])
    names: list[str] = request.options["outputs"]
    for owner, outputs in (("the artifact", got), ("the original model", reference)):
        _check_names(owner, outputs, names)
    return {
        "outputs": {
            name: compare(got[name], reference[name], name).to_json()
            | spread(got[name], reference[name])
            for name in names
        },
        **_extremes(request, reference, names),
        **_edges(request, reference, names),
        **_weights(request),
        "metric": _metric(request, names),
        "samples": len(reference[names[0]]),
        **_read(request.inputs["run"]),
        **({"floor": _read(request.inputs["floor"])} if "floor" in request.inputs else {}),
    }


def _weights(request: Request) -> dict[str, Any]:
    """What comparing the weights gave; what is large there and no weight explains is noted."""
    if "weights" not in request.inputs:
        return {}
    weights = _read(request.inputs["weights"])
    for note in noted(weights):
        request.note(note)
    return {"weights": weights}


def _extremes(request: Request, samples: Arrays, names: list[str]) -> dict[str, Any]:
    """The comparison at the smallest and the largest sizes that the artifact was run at.

    Two inputs do not tell how much an output varies: what the samples tell counts as well.
    """
    if "got_extremes" not in request.inputs:
        return {}
    got = arrays.grouped(arrays.load(request.inputs["got_extremes"]))
    reference = arrays.grouped(arrays.load(request.inputs["reference_extremes"]))
    signal = {name: variation(samples[name]) for name in names}
    found = []
    for label, outputs in got.items():
        original = reference[label]
        figures = {
            name: compare(outputs[name], original[name], name, signal[name]).to_json()
            for name in names
            if original[name].size or original[name].shape != outputs[name].shape
        }
        found.append({"at": sizes_of(label), "outputs": figures})
    return {"extremes": found}


def _edges(request: Request, samples: Arrays, names: list[str]) -> dict[str, Any]:
    """The comparison on zeros and on extreme values."""
    if "got_edges" not in request.inputs:
        return {}
    got, reference = (
        arrays.load(request.inputs[name]) for name in ("got_edges", "reference_edges")
    )
    return {"edges": edges(got, reference, samples, names)}


def _check_names(owner: str, outputs: Arrays, names: list[str]) -> None:
    missing = [name for name in names if name not in outputs]
    if missing:
        raise StepError(
            f"{owner} gives no output `{missing[0]}`",
            f"it gives {', '.join(f'`{name}`' for name in sorted(outputs)) or 'none'}: "
            "name the model's outputs in the recipe in their order",
            "outputs",
        )


def _metric(request: Request, names: list[str]) -> dict[str, Any] | None:
    """The metric of both models, over the first output and the labels."""
    name: str | None = request.options["metric"]
    if "metric" in request.inputs:
        own = _read(request.inputs["metric"])
        count = len(next(iter(arrays.load(request.inputs["evaluation"]).values())))
        return {
            "name": name or OWN_METRIC,
            "value": own["value"],
            "reference": own["reference"],
            "count": count,
        }
    if name is None:
        return None
    labels = arrays.load(request.inputs["evaluation"]).get(LABELS)
    if labels is None:
        raise StepError(
            f"`{name}` needs labels, the dataset names none",
            "give the dataset `labels: ARRAY`",
            "evaluate.dataset",
        )
    scores = {}
    for key, owner in (("value", "got_evaluation"), ("reference", "reference_evaluation")):
        outputs = arrays.load(request.inputs[owner])
        _check_names("the evaluation", outputs, names[:1])
        scores[key] = METRICS[name](outputs[names[0]], labels)
    return {"name": name, **scores, "count": len(labels)}


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _representable(value: Any) -> Any:
    """The value with `null` for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: _representable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_representable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
