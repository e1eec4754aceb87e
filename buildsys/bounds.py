"""Every bound that a recipe may set, in one table.

The recipe's schema, the gates, reports, the self-test of a bundle and the docs read it. To add a bound of
outputs, add an entry here and a function to `FIGURES` in `verify/outputs/metrics.py`; of an artifact as a
whole, an entry here and a function to `verify/judgment/gates.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bound:
    """One bound.

    Attributes:
        name: The recipe's word.
        direction: Which side of the limit a figure must be on.
        scope: What it is on: each `output`, the `artifact` as a whole, or the artifact beside the one of an
            `earlier` build.
        unit: What the figure is measured in: `ratio` is a plain number, `output` the output's own units.
        description: What the recipe's schema says of it.
        least: The least limit that makes sense, if there is one.
        above: A limit must be greater than this, if there is such a number.
        most: The greatest limit that makes sense, if there is one.
        best: The figure of an artifact without any error, where no better one exists.
        by_outputs: Whether an artifact's outputs and the original's are enough to judge it.
        word: What a recipe says in place of a number; empty where it is a number.
    """

    name: str
    direction: Literal["at most", "at least"]
    scope: Literal["output", "artifact", "earlier"]
    unit: Literal["ratio", "output", "decibels", "share", "metric"]
    description: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    best: float | None = None
    by_outputs: bool = True
    word: str = ""


TABLE = (
    Bound(
        "signal_error",
        "at most",
        "output",
        "ratio",
        "the norm of the error, relative to how much the reference varies over the samples. The one to "
        "gate on.",
        least=0,
    ),
    Bound(
        "floor_ratio",
        "at most",
        "output",
        "ratio",
        "`signal_error` against what the model's own precision costs: float32 in torch against float64, or "
        "for the scheme `float16` the model in float16 against float64.",
        least=0,
        by_outputs=False,
    ),
    Bound("max_abs", "at most", "output", "output", "the greatest absolute error.", least=0),
    Bound("max_rel", "at most", "output", "ratio", "the greatest relative error.", least=0),
    Bound("mean_abs", "at most", "output", "output", "the mean absolute error.", least=0),
    Bound("rmse", "at most", "output", "output", "the root of the mean squared error.", least=0),
    Bound(
        "cosine", "at least", "output", "ratio", "the cosine similarity.", least=-1, most=1, best=1
    ),
    Bound(
        "sqnr_db", "at least", "output", "decibels", "the ratio of signal to noise, in decibels."
    ),
    Bound(
        "top1_agreement",
        "at least",
        "output",
        "share",
        "the part of the samples whose greatest output is the same.",
        least=0,
        most=1,
        best=1,
    ),
    Bound(
        "metric_drop",
        "at most",
        "artifact",
        "metric",
        "how much worse the model's `evaluate` metric is than the original's.",
    ),
    Bound(
        "size_ratio",
        "at most",
        "artifact",
        "ratio",
        "the size against the float artifact's.",
        above=0,
    ),
    Bound(
        "latency_ratio",
        "at most",
        "artifact",
        "ratio",
        "the median latency against the float artifact's.",
        above=0,
    ),
    Bound(
        "weights",
        "at least",
        "artifact",
        "share",
        "every number of the artifact's weights must be traced to the model. Without it, what cannot be "
        "explained is reported, and only what is known to be wrong rejects.",
        word="traced",
    ),
    Bound(
        "max_size_ratio",
        "at most",
        "earlier",
        "ratio",
        "the size against the earlier build's. This bound and those below are judged by `modelbuild report "
        "--against FILE`.",
        above=0,
    ),
    Bound(
        "max_latency_ratio",
        "at most",
        "earlier",
        "ratio",
        "the median latency against the earlier build's; beyond it only where the noise of both measurements "
        "cannot explain it.",
        above=0,
    ),
    Bound(
        "max_error_ratio",
        "at most",
        "earlier",
        "ratio",
        "`signal_error` against the earlier build's, of the output where that is worst.",
        above=0,
    ),
    Bound(
        "max_metric_loss",
        "at most",
        "earlier",
        "metric",
        "how much worse the `evaluate` metric is than the earlier build's.",
    ),
)
"""In the order in which recipes are documented and gates are shown."""
BY_NAME = {bound.name: bound for bound in TABLE}


def _names(scope: str, direction: str | None = None) -> tuple[str, ...]:
    return tuple(
        bound.name
        for bound in TABLE
        if bound.scope == scope and not bound.word and direction in (None, bound.direction)
    )


OUTPUT_BOUNDS = _names("output")
OUTPUT_CEILINGS = _names("output", "at most")
OUTPUT_FLOORS = _names("output", "at least")
ARTIFACT_CEILINGS = _names("artifact", "at most")
REGRESSION_BOUNDS = _names("earlier")
"""Bounds against an earlier build, which `report --against` judges; a build has none at hand."""
