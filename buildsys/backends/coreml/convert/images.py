"""Inputs that take pictures: what Core ML does to pixels before the model sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...kit.protocol.contract import Contract, Port
from ...kit.protocol.request import Request, StepError
from ..libraries import ct
from ..pixels import KEY, Pixels

FIELD = "options.image_inputs"
COLORS = {"rgb": "RGB", "bgr": "BGR", "gray": "GRAYSCALE"}


@dataclass(frozen=True)
class Image:
    """`pixel * scale + bias`, a bias for each channel in the order of `color`."""

    scale: float
    bias: tuple[float, ...]
    color: str

    @property
    def channels(self) -> int:
        """How many channels the model takes."""
        return 1 if self.color == "GRAYSCALE" else 3

    @classmethod
    def of(cls, name: str, preprocess: Mapping[str, Any]) -> Image:
        """From the recipe's `(pixel * scale - mean) / std`, exactly or not at all.

        Raises:
            StepError: It divides each channel by another number.
        """
        color = COLORS[preprocess["color"]]
        channels = cls(1.0, (), color).channels
        mean, std = preprocess["mean"] or [0.0], preprocess["std"] or [1.0]
        if len(set(std)) > 1:
            raise StepError(
                f"`{name}` divides each channel by another `std` "
                f"({', '.join(map(str, std))}), and Core ML has one scale for all of a picture",
                "divide in the model's first layer and give one `std`, or leave `image_inputs` out: "
                "the app then makes the array",
                FIELD,
            )
        spread = [*mean] * (channels if len(mean) == 1 else 1)
        return cls(preprocess["scale"] / std[0], tuple(0.0 - m / std[0] for m in spread), color)

    def type_of(self, port: Port) -> Any:
        """`ct.ImageType` for an input."""
        bias: Any = list(self.bias) or [0.0] * self.channels
        return ct.ImageType(
            name=port.artifact_name or port.name,
            shape=tuple(port.shape),
            scale=self.scale,
            bias=bias[0] if self.channels == 1 else bias,
            color_layout=getattr(ct.colorlayout, self.color),
        )


def asked(request: Request, contract: Contract) -> dict[str, Image]:
    """The inputs that are to take pictures, by the recipe's name.

    Raises:
        StepError: An input is unknown, no picture, or scaled as Core ML cannot.
    """
    wanted: Any = request.options["format"].get("image_inputs")
    if wanted is None:
        return {}
    if wanted == "auto":
        told: Mapping[str, Any] = request.options.get("preprocess", {})
        if not told:
            raise StepError(
                "`image_inputs: auto` needs an input with `preprocess`",
                "say under `inputs` how a picture becomes the input, or name the inputs here",
                FIELD,
            )
        found = {name: Image.of(name, words) for name, words in told.items()}
    else:
        found = {
            name: Image(each["scale"], tuple(each["bias"]), each["color"])
            for name, each in wanted.items()
        }
    ports = {port.name: port for port in contract.inputs}
    for name, image in found.items():
        if name not in ports:
            raise StepError(
                f"the model has no input `{name}`", f"it has {', '.join(ports)}", f"{FIELD}.{name}"
            )
        _check(ports[name], image)
    return found


def record(model: Any, contract: Contract, images: Mapping[str, Image]) -> None:
    """Writes into a package what it does to pixels, so that its samples can be made into pictures."""
    for port in contract.inputs:
        image = images.get(port.name)
        if image is not None:
            pixels = Pixels(image.scale, image.bias, image.color)
            model.user_defined_metadata[KEY + (port.artifact_name or port.name)] = pixels.text()


def declare(request: Request, contract: Contract, images: Mapping[str, Image]) -> None:
    """Says in the contract what the app hands over: a picture of a height and a width."""
    for port in contract.inputs:
        image = images.get(port.name)
        if image is not None:
            port.kind, port.dtype = "image", "uint8"
            port.shape, port.layout = port.shape[2:], "HW"
            scaled = " + ".join(
                [f"pixel * {image.scale:.9g}", *([f"({_shown(image.bias)})"] if image.bias else [])]
            )
            request.note(
                f"input `{port.name}` takes a picture of {port.shape[0]} x {port.shape[1]} (height x "
                f"width); Core ML makes {scaled} of it, in the order {image.color}"
            )


def _check(port: Port, image: Image) -> None:
    field = f"{FIELD}.{port.name}"
    if image.bias and len(image.bias) != image.channels:
        raise StepError(
            f"`{port.name}` has {image.channels} channels, and {len(image.bias)} numbers in `bias`",
            "give one a channel, or none",
            field,
        )
    shape = port.shape
    if any(isinstance(size, str) for size in shape):
        raise StepError(
            f"`{port.name}` has sizes that vary, and a picture is one of a fixed size",
            "leave `flexible` out",
            "options.flexible",
        )
    fits = len(shape) == 4 and shape[0] == 1 and shape[1] == image.channels
    if not fits or port.layout not in (None, "NCHW") or port.dtype != "float32":
        raise StepError(
            f"`{port.name}` is {port.dtype} {list(shape)}{f' {port.layout}' if port.layout else ''}, "
            f"and a picture ({image.color}) becomes float32 [1, {image.channels}, H, W]",
            "capture the model for one picture in the layout NCHW, or leave `image_inputs` out",
            field,
        )


def _shown(bias: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.9g}" for value in bias)
