"""`preprocess:` of datasets and of inputs: how a picture becomes an array."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from buildsys.recipe.schema.part import Number, Part, fault


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
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values and len(values) not in (1, self.channels):
                raise fault(
                    f"`{name}` has {len(values)} numbers for {self.channels} channels",
                    f"give one number, or {self.channels}",
                    name,
                )
        if 0 in self.std:
            raise fault("a standard deviation of 0 cannot be divided by", None, "std")
        if not self.scale:
            raise fault("a `scale` of 0 makes all pictures the same", None, "scale")
        return self

    @property
    def channels(self) -> int:
        """How many channels the array has."""
        return 1 if self.color == "gray" else 3

    def fits(self, shape: tuple[int | str, ...], layout: str | None) -> None:
        """Whether it gives what an input takes; sizes that may vary take any.

        Args:
            shape: The input's sizes, with a batch axis or without.
            layout: What the input's axes mean, where the recipe says it.

        Raises:
            PydanticCustomError: The axes or the sizes differ.
        """
        axes = self.layout if len(shape) == 4 else self.layout[1:]
        if len(shape) != len(axes):
            message = (
                f"a picture has 4 axes ({self.layout}), or 3 without a batch, not {len(shape)}"
            )
            raise fault(message, None, "preprocess")
        if layout is not None and layout != axes:
            at = ("preprocess", "layout") if "layout" in self.model_fields_set else ("preprocess",)
            message = f"`preprocess` gives {axes}, and the input has the layout `{layout}`"
            raise fault(message, "set `layout` in both to what the model takes", *at)
        wanted = {"H": self.size[0], "W": self.size[1], "C": self.channels}
        for axis, size in zip(axes, shape, strict=True):
            if isinstance(size, int) and wanted.get(axis, size) != size:
                name = "color" if axis == "C" else "size"
                at = ("preprocess", name) if name in self.model_fields_set else ("preprocess",)
                raise fault(
                    f"`preprocess` gives {axes} with {axis} = {wanted[axis]}, and the input has "
                    f"{size} there",
                    None,
                    *at,
                )
