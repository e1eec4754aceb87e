"""What a function takes and gives, as the model describes it; checked at every run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...kit.protocol.request import StepError
from .dtypes import DTYPES
from .messages import array_dtype_name, color_name
from .registry import Tensor, TensorType

_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT16": np.dtype(np.float16),
    "FLOAT32": np.dtype(np.float32),
    "DOUBLE": np.dtype(np.float64),
    "INT32": np.dtype(np.int32),
    "INT8": np.dtype(np.int8),
}

Range = tuple[int, int | None]
"""The least and the largest size of an axis; `None` has no limit."""


@dataclass(frozen=True)
class Feature:
    """An input or output.

    Attributes:
        name: Its name in the model.
        kind: `array`; `image`, a picture; `label`, the best class; `probabilities`, a dictionary.
        dtype: numpy's type of an array; pictures are uint8, or float32 of the same range.
        shape: The default sizes, of a picture height and width; empty where none are described.
        allowed: The only sizes that are taken, where they are enumerated; empty otherwise.
        ranges: The limits of each axis, where sizes may vary; empty otherwise.
        color: The order that the model takes channels in: `RGB`, `BGR` or `GRAYSCALE`.
        default: What an absent input is filled with; `None` where it must be given.
    """

    name: str
    kind: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    allowed: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    color: str = ""
    default: float | None = None

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses sizes that the model does not take.

        Raises:
            StepError: They are others than those described.
        """
        if self.allowed:
            if shape not in self.allowed:
                sizes = ", ".join(str(list(each)) for each in self.allowed)
                raise StepError(
                    f"input `{self.name}` is {list(shape)}, and the package takes {sizes} only"
                )
        elif self.ranges:
            if len(shape) != len(self.ranges) or any(
                size < low or (high is not None and size > high)
                for size, (low, high) in zip(shape, self.ranges, strict=True)
            ):
                limits = " x ".join(_shown(each) for each in self.ranges)
                raise StepError(
                    f"input `{self.name}` is {list(shape)}, and the package takes {limits} only"
                )
        elif shape != self.shape:
            raise StepError(
                f"input `{self.name}` is {list(shape)}, and the package takes {list(self.shape)}"
            )

    def tensor(self, given: np.ndarray, declared: TensorType) -> Tensor:
        """What is fed as the program takes it: floats as float32, of the described precision.

        Args:
            given: An array; a picture is [height, width, 3] in the order red, green, blue, or
                [height, width], from 0 to 255.
            declared: The type in the program.

        Raises:
            StepError: Its sizes or its type do not fit.
        """
        if self.kind == "image":
            given = self._channels(given)
        else:
            self.check(given.shape)
            given = self._cast(given)
        if declared.shape and len(declared.shape) != given.ndim:
            raise StepError(f"input `{self.name}` has {given.ndim} axes, not {len(declared.shape)}")
        kind = DTYPES[declared.dtype]
        return torch.from_numpy(np.ascontiguousarray(given)).to(kind.tensor)

    def _cast(self, given: np.ndarray) -> np.ndarray:
        whole = np.issubdtype(self.dtype, np.integer)
        if whole and not np.issubdtype(given.dtype, np.integer) and given.dtype != np.bool_:
            raise StepError(
                f"input `{self.name}` is {given.dtype}, and the package takes {self.dtype}"
            )
        cast = given.astype(self.dtype)
        if whole and not np.array_equal(cast, given):
            raise StepError(f"values of input `{self.name}` do not fit into {self.dtype}")
        return cast

    def _channels(self, given: np.ndarray) -> np.ndarray:
        height_width = self.shape if self.color == "GRAYSCALE" else (*self.shape, 3)
        if given.shape != height_width:
            raise StepError(
                f"input `{self.name}` is {list(given.shape)}, and the package takes a picture of "
                f"{list(height_width)}"
            )
        if self.color == "GRAYSCALE":
            return given.astype(np.float32)[np.newaxis, np.newaxis]
        ordered = given[..., ::-1] if self.color == "BGR" else given
        return ordered.astype(np.float32).transpose(2, 0, 1)[np.newaxis]

    def array(self, value: Any) -> Any:
        """What the program gave, as an app gets it: an array, a class, or a dictionary of classes.

        Core ML has no arrays without axes: a number is an array of one.
        """
        if self.kind == "array":
            array = value.numpy().astype(self.dtype)
            return array if array.ndim else array.reshape(1)
        return value


def inputs(description: Any) -> tuple[Feature, ...]:
    """The inputs that are described; states are none of them.

    Raises:
        StepError: One is of a kind that is not evaluated.
    """
    return tuple(_feature(each) for each in description.input)


def outputs(description: Any) -> tuple[Feature, ...]:
    """The outputs that are described.

    Raises:
        StepError: One is of a kind that is not evaluated.
    """
    found = tuple(_feature(each) for each in description.output)
    for feature in found:
        if feature.kind == "image":
            raise StepError(f"output `{feature.name}` is a picture, which is not evaluated")
    return found


def _feature(described: Any) -> Feature:
    kind = described.type.WhichOneof("Type")
    name = described.name
    if kind == "multiArrayType":
        return _array(name, described.type.multiArrayType, described.type.isOptional)
    if kind == "imageType":
        image = described.type.imageType
        color = color_name(image.colorSpace)
        if image.WhichOneof("SizeFlexibility") or color not in ("RGB", "BGR", "GRAYSCALE"):
            raise StepError(f"`{name}` is a picture of open sizes or of {color}: not evaluated")
        return Feature(name, "image", np.dtype(np.uint8), (image.height, image.width), color=color)
    if kind == "dictionaryType":
        return Feature(name, "probabilities", np.dtype(np.float64))
    if kind == "stringType":
        return Feature(name, "label", np.dtype(np.str_))
    if kind == "int64Type":
        return Feature(name, "label", np.dtype(np.int64))
    raise StepError(f"`{name}` is of type `{kind}`, which is not evaluated")


def _array(name: str, array: Any, optional: bool) -> Feature:
    dtype = array_dtype_name(array.dataType)
    if dtype not in _DTYPES:
        raise StepError(f"`{name}` is an array of {dtype}, which is not evaluated")
    flexibility = array.WhichOneof("ShapeFlexibility")
    filled = array.WhichOneof("defaultOptionalValue")
    # What the model sees for an optional input without a default is said nowhere.
    default = float(getattr(array, filled)) if optional and filled else None
    return Feature(
        name,
        "array",
        _DTYPES[dtype],
        _sizes(array.shape),
        tuple(_sizes(each.shape) for each in array.enumeratedShapes.shapes)
        if flexibility == "enumeratedShapes"
        else (),
        tuple(
            (int(each.lowerBound), int(each.upperBound) if each.upperBound >= 0 else None)
            for each in array.shapeRange.sizeRanges
        )
        if flexibility == "shapeRange"
        else (),
        default=default,
    )


def _sizes(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(size) for size in shape)


def _shown(limits: Range) -> str:
    low, high = limits
    return str(low) if low == high else f"{low}..{'' if high is None else high}"
