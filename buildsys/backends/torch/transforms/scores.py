"""How good a model is at its task, where pruning must know."""

from __future__ import annotations

import numpy as np

from ...kit.protocol import arrays, entry
from ...kit.protocol.request import Request, StepError
from ...kit.run import batches
from ...kit.tasks.direction import better
from ...kit.tasks.metrics import METRICS, labels_for
from ..original.model import Eager

FIELD = "floor"


def score(eager: Eager, request: Request) -> float:
    """The metric of the model over the evaluation's data, the greater the better: errors negated.

    Raises:
        StepError: There are no labels, they do not fit, or it is not a number.
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
        name = metric["name"]
        found = METRICS[name](got[options["outputs"][0]], labels_for(name, labels, FIELD))
        found = found if better(name) == "higher" else -found
    if np.isnan(found):
        raise StepError("the metric of the model is NaN: there is nothing to bound", None, FIELD)
    return found
