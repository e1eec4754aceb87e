"""`datasets:` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from buildsys.recipe.part import EntryPoint, FilePath, Number, Part, PortName, fault


class PythonSource(Part):
    """Arrays that a function of the project returns."""

    python: EntryPoint = Field(
        description="A function without arguments that returns a mapping from names to arrays, "
        "the first axis of each being the samples: `module:callable`, relative to the recipe.",
        examples=["data:load"],
    )


class Preprocess(Part):
    """How a picture becomes an array: decoded, resized, scaled, normalised, laid out."""

    size: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], Field(strict=False)
    ] = Field(description="Height and width of the array, in pixels.", examples=[[224, 224]])
    fit: Literal["crop", "stretch", "pad"] = Field(
        default="crop",
        description="How a picture of another shape is made to fit: `crop` scales it to cover the "
        "size and cuts the middle out, `stretch` changes its proportions, `pad` scales it to lie "
        "within the size and fills the rest with black.",
    )
    crop_fraction: Number = Field(
        default=1.0,
        description="For `crop`: the part of each scaled side that is kept; 0.875 gives the usual "
        "256 to 224.",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        default="bilinear", description="How pixels are resampled."
    )
    color: Literal["rgb", "bgr", "gray"] = Field(
        default="rgb", description="The channels, in order."
    )
    scale: Number = Field(
        default=1 / 255, description="What pixel values (0 to 255) are multiplied with."
    )
    mean: Annotated[tuple[Number, ...], Field(strict=False)] = Field(
        default=(),
        description="Subtracted after scaling: one number, or one a channel.",
        examples=[[0.485, 0.456, 0.406]],
    )
    std: Annotated[tuple[Number, ...], Field(strict=False)] = Field(
        default=(),
        description="Divided by after that: one number, or one a channel.",
        examples=[[0.229, 0.224, 0.225]],
    )
    layout: Literal["NCHW", "NHWC"] = Field(
        default="NCHW", description="The order of the axes of the array."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.crop_fraction <= 1:
            raise fault("`crop_fraction` must be above 0 and at most 1", None, "crop_fraction")
        channels = 1 if self.color == "gray" else 3
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values and len(values) not in (1, channels):
                raise fault(
                    f"`{name}` has {len(values)} numbers for {channels} channels",
                    f"give one number, or {channels}",
                    name,
                )
        if 0 in self.std:
            raise fault("a standard deviation of 0 cannot be divided by", None, "std")
        return self


def _kind_of_source(value: Any) -> str | None:
    if isinstance(value, str):
        return "<file>"
    return "<python>" if isinstance(value, dict | PythonSource) else None


class Dataset(Part):
    """Arrays to sample, calibrate and evaluate with."""

    source: Annotated[
        Annotated[FilePath, Tag("<file>")] | Annotated[PythonSource, Tag("<python>")],
        Discriminator(
            _kind_of_source,
            custom_error_type="recipe_choice",
            custom_error_message='a path, or `{python: "module:callable"}`',
        ),
    ] = Field(
        description="An `.npz` or `.npy` file, a folder of images (with `preprocess`), or a "
        "function of the project.",
        examples=["data/train.npz", {"python": "data:load"}],
    )
    inputs: dict[PortName, str] = Field(
        default={},
        description="Which array feeds which input of a model; arrays are named like the inputs by "
        "default.",
        examples=[{"image": "x"}],
    )
    labels: str | None = Field(
        default=None, description="The array of labels, for metrics.", examples=["y"]
    )
    limit: int | None = Field(
        default=None, ge=1, description="Use this many samples, from the first, at most."
    )
    preprocess: Preprocess | None = Field(
        default=None, description="How the pictures of a folder become arrays."
    )
