"""`acceptance:` of a recipe."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from buildsys.recipe.schema.part import Name, Part, PortName, fault

REGRESSION_BOUNDS = ("max_size_ratio", "max_latency_ratio", "max_error_ratio", "max_metric_loss")
"""Bounds against an earlier build, which `report --against` judges; a build has none at hand."""


class OutputBounds(Part):
    """Bounds on each output, or on one."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    signal_error: float | None = Field(
        default=None,
        ge=0,
        description="At most: the norm of the error, relative to how much the reference varies "
        "over the samples. The one to gate on.",
    )
    floor_ratio: float | None = Field(
        default=None,
        ge=0,
        description="At most: `signal_error` against what the model's own precision costs: float32 "
        "in torch against float64, or for the scheme `float16` the model in float16 against float64.",
    )
    max_abs: float | None = Field(
        default=None, ge=0, description="At most: the greatest absolute error."
    )
    max_rel: float | None = Field(
        default=None, ge=0, description="At most: the greatest relative error."
    )
    mean_abs: float | None = Field(
        default=None, ge=0, description="At most: the mean absolute error."
    )
    rmse: float | None = Field(
        default=None, ge=0, description="At most: the root of the mean squared error."
    )
    cosine: float | None = Field(
        default=None, ge=-1, le=1, description="At least: the cosine similarity."
    )
    sqnr_db: float | None = Field(
        default=None, description="At least: the ratio of signal to noise, in decibels."
    )
    top1_agreement: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="At least: the part of the samples whose greatest output is the same.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(value is None or value == {} for value in dict(self).values()):
            raise fault("no bound is given", "add one, for example `signal_error: 1e-3`")
        return self


class TargetBounds(OutputBounds):
    """Bounds on artifacts: on each output, on outputs by name, and on the artifact as a whole."""

    metric_drop: float | None = Field(
        default=None,
        description="At most: how much worse the model's `evaluate` metric is than the original's.",
    )
    size_ratio: float | None = Field(
        default=None, gt=0, description="At most: the size against the float artifact's."
    )
    latency_ratio: float | None = Field(
        default=None, gt=0, description="At most: the median latency against the float artifact's."
    )
    weights: Literal["traced"] | None = Field(
        default=None,
        description="`traced`: every number of the artifact's weights must be traced to the model. "
        "Without it, what cannot be explained is reported, and only what is known to be wrong rejects.",
    )
    max_size_ratio: float | None = Field(
        default=None,
        gt=0,
        description="At most: the size against the earlier build's. This bound and those below are "
        "judged by `modelbuild report --against FILE`.",
    )
    max_latency_ratio: float | None = Field(
        default=None,
        gt=0,
        description="At most: the median latency against the earlier build's; beyond it only where "
        "the noise of both measurements cannot explain it.",
    )
    max_error_ratio: float | None = Field(
        default=None,
        gt=0,
        description="At most: `signal_error` against the earlier build's, of the output where that "
        "is worst.",
    )
    max_metric_loss: float | None = Field(
        default=None,
        description="At most: how much worse the `evaluate` metric is than the earlier build's.",
    )
    outputs: dict[PortName, OutputBounds] = Field(
        default={},
        description="Bounds on outputs by name; each goes before the general one of its kind.",
        examples=[{"boxes": {"max_abs": 0.5}}],
    )


class Acceptance(TargetBounds):
    """Tolerances: bounds on a measurement, all of which must hold."""

    targets: dict[Name, TargetBounds] = Field(
        default={},
        description="Bounds for targets by name; each goes before the one of its kind above, and "
        "what it says of an output before all.",
        examples=[{"ios": {"signal_error": 2e-2}}],
    )

    def bounds(self, target: str) -> dict[str, float]:
        """The bounds that hold for a target, of each output and of the artifact."""
        return self._limits(target, {"outputs", "targets", *REGRESSION_BOUNDS})

    def regression_bounds(self, target: str) -> dict[str, float]:
        """The bounds that hold for a target against an earlier build."""
        found = self._limits(target, {"outputs", "targets"})
        return {name: found[name] for name in REGRESSION_BOUNDS if name in found}

    def _limits(self, target: str, exclude: set[str]) -> dict[str, float]:
        own = self.model_dump(exclude_none=True, exclude=exclude)
        there = self.targets.get(target)
        found = own | (there.model_dump(exclude_none=True, exclude=exclude) if there else {})
        # The part of all numbers that it asks for.
        return {name: 1.0 if value == "traced" else value for name, value in found.items()}

    def output_bounds(self, target: str) -> dict[str, dict[str, float]]:
        """The bounds that hold for a target on outputs by name."""
        found = {name: each.model_dump(exclude_none=True) for name, each in self.outputs.items()}
        there = self.targets.get(target)
        for name, each in (there.outputs if there else {}).items():
            found[name] = found.get(name, {}) | each.model_dump(exclude_none=True)
        return found
