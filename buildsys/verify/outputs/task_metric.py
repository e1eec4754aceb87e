"""The task's metric of an artifact and of the original, over the same rows, and what their drop is worth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.arrays import Arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.backends.kit.tasks import paired
from buildsys.backends.kit.tasks.direction import better
from buildsys.backends.kit.tasks.metrics import METRICS, Metric, Parts, labels_for

OWN_METRIC = "python"
"""The name of a metric that the project computes itself."""
RESAMPLES = 1000
"""Draws for the interval of a metric that is built in."""


def evaluation(request: Request, names: Sequence[str]) -> dict[str, Any] | None:
    """The metric as `measurement.json` has it; `None` where the model has no evaluation.

    Inputs: either `got_evaluation`, `reference_evaluation` and `evaluation` (the dataset with its
    labels), or `metric` (`metric.json` of the project's own metric). Options: `metric`, the name of one
    that is built in, or `null`. Of a model with transforms the reference is what it was before them, and
    there is `transformed_evaluation`: what it gives once they are done.

    Args:
        request: The step's.
        names: The outputs; the first one counts.

    Returns:
        `name`, `value` of the artifact, `reference` of the original, `count` of rows; `drop`, by how much
        the artifact is worse; where there is an interval `low` and `high`, between which the drop lies
        in 95 of 100 cases, and its `method`; `distinguishable`: whether that interval is without zero;
        `transformed`, of the model after its transforms, where it has them.

    Raises:
        StepError: Labels or an output are missing.
        StepError: Labels do not fit.
    """
    name: str | None = request.options["metric"]
    if "metric" in request.inputs:
        own: dict[str, Any] = json.loads(request.inputs["metric"].read_text(encoding="utf-8"))
        interval = tuple(own["interval"]) if own["interval"] else None
        figures = (own["value"], own["reference"])
        found = record(name or OWN_METRIC, figures, own["count"], interval, paired.BOOTSTRAP)
        return found | {n: own[n] for n in ("transformed",) if n in own}
    if name is None:
        return None
    labels = labels_for(
        name, arrays.labels_of(arrays.mapped(request.inputs["evaluation"])), "evaluate.dataset"
    )
    metric = METRICS[name]
    got, reference = (
        metric.parts(_first(request, role, names), labels)
        for role in ("got_evaluation", "reference_evaluation")
    )
    interval, method = _interval(metric, better(name) == "higher", got, reference)
    found = record(name, (metric.of(got), metric.of(reference)), got.count, interval, method)
    if "transformed_evaluation" in request.inputs:
        between = metric.parts(_first(request, "transformed_evaluation", names), labels)
        found["transformed"] = metric.of(between)
    return found


def record(
    name: str,
    figures: tuple[float, float],
    count: int,
    interval: paired.Interval | None,
    method: str,
) -> dict[str, Any]:
    """A metric as `measurement.json` has it.

    Args:
        name: The metric's.
        figures: Of the artifact, and of the original.
        count: Over how many rows.
        interval: Of the drop, or `None`.
        method: How that was found.
    """
    value, reference = figures
    drop = reference - value if better(name) == "higher" else value - reference
    found: dict[str, Any] = {
        "name": name,
        "value": value,
        "reference": reference,
        "count": count,
        "drop": drop,
    }
    if interval is not None and math.isfinite(drop):
        low, high = interval
        found |= {"low": low, "high": high, "method": method}
        found["distinguishable"] = bool(low > 0 or high < 0)
    return found


def _first(request: Request, role: str, names: Sequence[str]) -> NDArray[np.generic]:
    outputs: Arrays = arrays.mapped(request.inputs[role])
    check_names("the evaluation", outputs, names[:1])
    return outputs[names[0]]


def check_names(owner: str, outputs: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuses outputs that lack one of the recipe's.

    Raises:
        StepError: They do.
    """
    missing = [name for name in names if name not in outputs]
    if missing:
        raise StepError(
            f"{owner} gives no output `{missing[0]}`",
            f"it gives {', '.join(f'`{name}`' for name in sorted(outputs)) or 'none'}: "
            "name the model's outputs in the recipe in their order",
            "outputs",
        )


def _interval(
    metric: Metric, higher: bool, got: Parts, reference: Parts
) -> tuple[paired.Interval | None, str]:
    """The interval of a drop: of right and wrong rows by their counts, of all else by drawing."""
    if metric.outcomes and got.each == 1:
        lost = int((reference.numbers > got.numbers).sum())
        gained = int((got.numbers > reference.numbers).sum())
        return paired.of_outcomes(lost, gained, got.count), paired.BINOMIAL
    if not all(np.isfinite(parts.numbers).all() for parts in (got, reference)):
        return None, paired.BOOTSTRAP
    sign = 1 if higher else -1

    def drop(rows: NDArray[np.intp]) -> float:
        times = np.bincount(rows, minlength=got.count)
        return sign * (metric.of(reference, times) - metric.of(got, times))

    return paired.of_draws(drop, got.count, RESAMPLES), paired.BOOTSTRAP
