"""A whole recipe, validated."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from buildsys.recipe.schema.acceptance import Acceptance
from buildsys.recipe.schema.data import Dataset
from buildsys.recipe.schema.lineage import inherited
from buildsys.recipe.schema.model import Model
from buildsys.recipe.schema.part import NOT_EMPTY, PROJECT, RELEASE, SOME, FilePath, Name, Part
from buildsys.recipe.schema.quantization import Quantization

TargetName = Literal["ios", "android", "server", "web", "edge"]


def _kind_of_route(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    return "<list>" if isinstance(value, list | tuple) else None


class TargetEntry(Part):
    """What a target wants of the models: one deployable a model."""

    format: Name = Field(
        description="The format of the artifact.", examples=["coreml", "tflite", "onnx"]
    )
    quantization: Name | None = Field(
        default=None, description="A profile under `quantization`; float without one."
    )
    accept: Name | None = Field(
        default=None,
        description="Tolerances under `acceptance`; without one a default for the scheme applies.",
    )
    options: dict[str, JsonValue] = Field(default={}, description="Options of the format, by name.")
    route: (
        Annotated[
            Annotated[str, Tag("<word>")]
            | Annotated[tuple[str, ...], SOME, NOT_EMPTY, Tag("<list>")],
            Discriminator(
                _kind_of_route,
                custom_error_type="recipe_choice",
                custom_error_message="a word, or a list of words in order",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Which way to the format to take, where there are several. Of a list the first is "
        "taken; the next one where it fails, or where what it gives is rejected, and the report says so.",
        examples=["direct", ["exported", "torchscript"]],
    )
    models: Annotated[tuple[Name, ...], SOME, NOT_EMPTY] | None = Field(
        default=None, description="The models it is for. Default: all."
    )
    name: Name | None = Field(
        default=None,
        description="Ends the label, to tell entries apart that have all else in common.",
    )

    @property
    def routes(self) -> tuple[str, ...]:
        """The words of `route`, in order."""
        if self.route is None:
            return ()
        return (self.route,) if isinstance(self.route, str) else self.route

    def label(self, target: str, model: str) -> str:
        """The label of the deployable of a model: `ios/classifier.coreml-fp16`."""
        suffixes = [part for part in (self.quantization, self.name) if part is not None]
        return f"{target}/{model}.{'-'.join([self.format, *suffixes])}"


class Toolchain(Part):
    """Changes to a pinned environment."""

    lock: FilePath = Field(
        description="A lock file in place of the toolchain's own.", examples=["locks/onnx.txt"]
    )


class Spec(Part):
    """A recipe: what to make of which models, for whom, and how good it must be."""

    version: Literal[1] = Field(description="The version of this form.")
    project: str = Field(pattern=PROJECT, description="Names the bundle.", examples=["digits"])
    release: str | None = Field(
        default=None,
        pattern=RELEASE,
        description="The version of what is released.",
        examples=["1.2.0"],
    )
    include: Annotated[tuple[FilePath, ...], Field(strict=False)] = Field(
        default=(),
        description="YAML files whose sections are put under those of the recipe. A name that the "
        "recipe defines itself wins; two fragments may not define the same name.",
        examples=[["common/acceptance.yaml"]],
    )
    datasets: dict[Name, Dataset] = Field(
        default={}, description="Arrays to sample, calibrate and evaluate with."
    )
    models: dict[Name, Model] = Field(min_length=1, description="The models.")
    quantization: dict[Name, Quantization] = Field(
        default={}, description="Named ways to make a model smaller."
    )
    acceptance: dict[Name, Acceptance] = Field(default={}, description="Named tolerances.")
    targets: dict[TargetName, Annotated[tuple[TargetEntry, ...], SOME, NOT_EMPTY]] = Field(
        min_length=1, description="What `modelbuild build TARGET` makes."
    )
    toolchains: dict[Name, Toolchain] = Field(
        default={}, description="Changes to pinned environments, by name."
    )

    @model_validator(mode="after")
    def _inherit(self) -> Self:
        return self.model_copy(update={"models": inherited(self.models)})
