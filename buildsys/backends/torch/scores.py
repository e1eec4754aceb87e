"""How good a model is at its task, where pruning must know: the host's metrics are out of reach here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit import arrays, batches, entry
from ..kit.request import Request, StepError
from .model import Eager

FIELD = "floor"
HIGHER_IS_BETTER = ("top1", "top5")


def score(eager: Eager, request: Request) -> float:
    """The metric of the model over the evaluation's data, the greater the better: errors negated.

    Raises:
        StepError: There are no labels, or it is no number.
    """
    options = request.options
    fed = arrays.load(request.inputs["evaluation"])
    labels = arrays.labels_of(fed)
    fed = {name: array for name, array in fed.items() if not arrays.is_labels(name)}
    plan = batches.plan(options["ports"], None, True)
    got = batches.run(eager.run, fed, plan, options["outputs"]).outputs
    metric = options["metric"]
    if metric["python"] is not None:
        found = float(entry.call(metric["python"], request.project, FIELD, got, labels))
    else:
        if labels is None or isinstance(labels, dict):
            raise StepError(
                f"`{metric['name']}` needs one array of labels",
                "give the dataset `labels: ARRAY`",
                FIELD,
            )
        found = _figure(metric["name"], got[options["outputs"][0]], labels)
    if np.isnan(found):
        raise StepError("the metric of the model is NaN: there is nothing to bound", None, FIELD)
    return found if metric["python"] or metric["name"] in HIGHER_IS_BETTER else -found


def _figure(name: str, output: NDArray[Any], labels: NDArray[Any]) -> float:
    scores = output.astype(np.float64)
    if name in HIGHER_IS_BETTER:
        count = 1 if name == "top1" else 5
        best = np.argsort(-scores, axis=-1, kind="stable")[..., :count]
        return float((best == labels.reshape(*best.shape[:-1], 1)).any(-1).mean())
    error = scores - labels.astype(np.float64).reshape(scores.shape)
    return float((np.square(error) if name == "mse" else np.abs(error)).mean())
