"""How an output's error is spread over the samples: which is worst, and whether it is all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.verify.outputs.metrics import row_errors

MOST_BINS = 6
"""Decades that a histogram tells apart; what is smaller is in its first bin."""


def spread(artifact: NDArray[Any], reference: NDArray[Any]) -> dict[str, Any]:
    """The samples' own errors, in short.

    Args:
        artifact: [n, ...], one row a sample.
        reference: [n, ...], fit to be compared with (see `metrics.compare`).

    Returns:
        `worst`: its `sample`, counted from 0, and that sample's `signal_error` (`None` where it is no
        number); `quantiles`: `p50`, `p95` and `max` of the samples' errors, and `upper`, the
        `signal_error` of the worse half of the samples; `histogram`: `edges`, powers
        of ten, one more than `counts`, and `exact`, how many samples have no error at all. All are
        `None` where the shapes differ; the last two also where an error is not a number.
    """
    errors = row_errors(artifact, reference)
    if errors is None:
        return {"worst": None, "quantiles": None, "histogram": None}
    broken = np.flatnonzero(~np.isfinite(errors))
    if broken.size:
        worst = {"sample": int(broken[0]), "signal_error": None}
        return {"worst": worst, "quantiles": None, "histogram": None}
    at = int(errors.argmax())
    p50, p95 = np.percentile(errors, [50, 95])
    worse = np.sort(errors)[len(errors) // 2 :]
    upper = math.sqrt(float(np.square(worse).mean()))
    return {
        "worst": {"sample": at, "signal_error": float(errors[at])},
        "quantiles": {
            "p50": float(p50),
            "p95": float(p95),
            "max": float(errors[at]),
            "upper": upper,
        },
        "histogram": _histogram(errors),
    }


def _histogram(errors: NDArray[np.float64]) -> dict[str, Any]:
    some = errors[errors > 0]
    if not some.size:
        return {"edges": [], "counts": [], "exact": len(errors)}
    decades = np.floor(np.log10(some)).astype(int)
    last = int(decades.max())
    first = max(int(decades.min()), last - MOST_BINS + 1)
    counts = np.bincount(np.maximum(decades, first) - first, minlength=last - first + 1)
    edges = [math.pow(10.0, power) for power in range(first, last + 2)]
    return {"edges": edges, "counts": counts.tolist(), "exact": len(errors) - len(some)}
