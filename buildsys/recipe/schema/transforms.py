"""`transforms:` of a model: what is done to it before it is captured."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from buildsys.recipe.schema.part import (
    EntryPoint,
    Name,
    Part,
    exactly_one,
    misplaced,
    one_of_required,
)

KINDS = ("prune", "finetune", "distill", "qat")
Globs = Annotated[tuple[str, ...], Field(strict=False)]


class Train(Part):
    """A training function of the project's own."""

    python: EntryPoint = Field(
        description="A callable `module:callable`, imported from the recipe's folder, that trains a "
        "model in place: `def finetune(model, data, run) -> None`; see docs/transforms.md.",
        examples=["training:finetune"],
    )
    dataset: Name | None = Field(
        default=None,
        description="What it is given as `data`: the inputs by name, and `labels`.",
    )
    count: int | None = Field(
        default=None, ge=1, description="How many rows, drawn by `seed`. Default: all, in order."
    )
    seed: int = Field(default=0, ge=0, description="What all generators are seeded with.")
    args: dict[str, JsonValue] = Field(
        default={},
        description="Told as `run.args`: plain data only.",
        examples=[{"epochs": 3}],
    )


class Prune(Part):
    """Takes weights away, those of the least magnitude first."""

    method: Literal["structured", "unstructured"] = Field(
        default="structured",
        description="`structured` removes whole channels, so that the model is smaller and faster; "
        "`unstructured` sets single weights to zero.",
    )
    amount: float = Field(
        gt=0, lt=1, description="Which part of the channels, or of the weights, goes."
    )
    norm: Literal["l1", "l2"] = Field(
        default="l2",
        description="By which norm of its weights a channel is judged; of single weights both mean "
        "the magnitude.",
    )
    scope: Literal["global", "layer"] = Field(
        default="global",
        description="Whether all channels or weights are compared, or those of one layer, of each of "
        "which `amount` then goes.",
    )
    steps: int = Field(
        default=1, ge=1, description="In how many steps; each is trained by `train` in between."
    )
    multiple: int = Field(
        default=1,
        ge=1,
        description="Channels stay a multiple of this: kernels of runtimes work on 4, 8 or 16 at a "
        "time, and a layer of 11 may take longer than one of 16.",
    )
    keep: Globs = Field(
        default=(),
        description="Globs over the paths of modules that lose nothing.",
        examples=[["head", "features.0.*"]],
    )
    floor: float | None = Field(
        default=None,
        ge=0,
        description="By how much the metric of `evaluate` may fall behind the model before: the last "
        "step within it is kept.",
    )
    train: Train | None = Field(default=None, description="What trains it after each step.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.steps > 1 and self.train is None and self.floor is None:
            raise misplaced(
                "`steps` needs a `train` in between, or a `floor` that it may stop at",
                "delete it: all at once is the same",
                "steps",
            )
        if self.multiple > 1 and self.method == "unstructured":
            raise misplaced("`multiple` is of channels", "delete it", "multiple")
        return self


class Finetune(Part):
    """Trains on."""

    train: Train = Field(description="What trains it.")


class Distill(Part):
    """Trains it to do as another model of the recipe does."""

    teacher: Name = Field(description="The model that it learns from; told as `run.teacher`.")
    train: Train = Field(description="What trains it.")


class Qat(Part):
    """Trains it with weights and activations rounded as they will be in integers."""

    bits: Literal[2, 3, 4, 5, 6, 7, 8] = Field(default=8, description="Of weights.")
    per_channel: bool = Field(
        default=True, description="A scale for each output channel, or one for each weight tensor."
    )
    grid: Literal["narrow", "full"] = Field(
        default="narrow",
        description="How a greatest magnitude becomes a scale: over 7 of 4 bits (`narrow`: TFLite, "
        "Core ML, OpenVINO, and 8 bits everywhere), or over 7.5 (`full`: ONNX Runtime with 4 bits).",
    )
    activations: Literal["int8", "uint8", "int16", "float"] = Field(
        default="int8", description="What the inputs of layers are rounded to."
    )
    keep_float: Globs = Field(
        default=(), description="Globs over the paths of modules that stay as they are."
    )
    train: Train = Field(description="What trains it.")


class Transform(Part):
    """One step: exactly one of the kinds."""

    model_config = ConfigDict(json_schema_extra=one_of_required(*KINDS))

    prune: Prune | None = Field(default=None, description="Takes weights away.")
    finetune: Finetune | None = Field(default=None, description="Trains on.")
    distill: Distill | None = Field(default=None, description="Learns from a larger model.")
    qat: Qat | None = Field(default=None, description="Learns to live with rounded weights.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        exactly_one(self, *KINDS)
        return self

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def settings(self) -> Prune | Finetune | Distill | Qat:
        """What it says."""
        found: Prune | Finetune | Distill | Qat = getattr(self, self.kind)
        return found
