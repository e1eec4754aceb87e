"""`quantization:` and `acceptance:` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from buildsys.recipe.part import Name, Part, fault, misplaced

FLOAT_SCHEMES = ("float16", "bfloat16")


class Calibration(Part):
    """The data that the ranges of activations are taken from."""

    dataset: Name = Field(description="The dataset to draw from.")
    count: int = Field(default=128, ge=1, description="How many samples.")
    seed: int = Field(default=0, ge=0, description="The seed of the draw.")


class Quantization(Part):
    """A way to make a model smaller; a format says which schemes it can take."""

    scheme: Literal["float16", "bfloat16", "weight-only", "dynamic", "static", "mixed"] = Field(
        description="`float16` and `bfloat16` store and compute in 16 bits; `weight-only` stores "
        "integers and computes in float; `dynamic` finds the ranges of activations while it runs; "
        "`static` takes them from calibration data; `mixed` chooses a precision layer by layer."
    )
    bits: int | None = Field(
        default=None,
        ge=2,
        le=16,
        description="The width of integers. Default: 8; nothing for `float16` and `bfloat16`.",
    )
    per_channel: bool | None = Field(
        default=None,
        description="One scale a channel, not one a tensor. Default: true; nothing for `float16` "
        "and `bfloat16`.",
    )
    symmetric: bool | None = Field(
        default=None, description="Ranges around zero. Default: what the format does best."
    )
    keep_float: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Globs over the names of layers that stay as they are.",
        examples=[["head.*"]],
    )
    calibration: Calibration | None = Field(
        default=None, description="Data for the ranges; `static` needs it."
    )

    @model_validator(mode="before")
    @classmethod
    def _integer_defaults(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("scheme") not in (None, *FLOAT_SCHEMES):
            return {"bits": 8, "per_channel": True, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scheme == "static" and self.calibration is None:
            raise fault(
                "the scheme `static` needs `calibration`",
                "add `calibration: {dataset: NAME, count: 128}`",
                "scheme",
            )
        if self.scheme in FLOAT_SCHEMES:
            for name in ("bits", "per_channel", "symmetric", "calibration"):
                if getattr(self, name) is not None:
                    message = f"`{name}` means nothing to the scheme `{self.scheme}`"
                    raise misplaced(message, "delete it", name)
        return self


class Acceptance(Part):
    """Tolerances: bounds on a measurement, all of which must hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    signal_error: float | None = Field(
        default=None,
        ge=0,
        description="At most: the norm of the error, relative to how much the reference varies "
        "over the samples. The one to gate on.",
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise fault("no bound is given", "add one, for example `signal_error: 1e-3`")
        return self
