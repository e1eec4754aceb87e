"""The bounds that a deployable is held to."""

from __future__ import annotations

from collections.abc import Mapping

from buildsys.backends.base import Format
from buildsys.planner.conversion.profiles import coarse
from buildsys.planner.entries import Entry
from buildsys.planner.graph import Limits
from buildsys.planner.model import PlannedModel
from buildsys.verify.judgment.defaults import default_bounds

SIZE_BOUNDS, LATENCY_BOUNDS = {"size_ratio"}, {"latency_ratio"}


def judges_errors(general: Mapping[str, float], outputs: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether bounds say anything of an artifact's outputs, and not of its size, speed and weights alone."""
    return bool(set(general) - SIZE_BOUNDS - LATENCY_BOUNDS - {"weights"} or outputs)


def limits_of(model: PlannedModel, entry: Entry, scheme: str | None, judged: Format) -> Limits:
    """What an entry's artifact is held to.

    Args:
        model: Its model.
        entry: The entry.
        scheme: What it is quantized by.
        judged: The format of what is run: its own, or that of what it holds.
    """
    name, usual = entry.accept, _default_bounds(model, entry, scheme, judged)
    if name is None:
        return Limits("default", usual, {}, default=True)
    acceptance = model.recipe.spec.acceptance[name]
    specific = {
        output: each
        for output, each in acceptance.output_bounds(entry.target).items()
        if output in model.declared.outputs
    }
    bounds = acceptance.bounds(entry.target)
    if not judges_errors(bounds, specific):
        # Nor do bounds against an earlier build say how right this one is.
        return Limits(name, {**usual, **bounds}, {}, default=True)
    return Limits(name, bounds, specific, default=False)


def _default_bounds(
    model: PlannedModel, entry: Entry, scheme: str | None, judged: Format
) -> Mapping[str, float]:
    by = model.machine.runner(judged)
    return default_bounds(
        scheme,
        evaluated=by is not None and by.evaluates,
        approximates=by is not None and bool(by.runtime.approximates),
        coarse=entry.profile is not None and coarse(model.recipe, entry.profile),
        metric=model.declared.evaluate is not None,
        transformed=model.original is not None,
    )
