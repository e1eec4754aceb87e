"""From arrays of the model back to the pictures that an app hands over.

A package scales pixels itself, so that a sample of the model's input is first made into the picture it came
from: `pixel = (x - bias) / scale`, by the recipe's numbers, which the package carries in its metadata. The
numbers in its graph are not used: where they differ from the recipe's, the outputs are wrong, and it shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.protocol.contract import Port
from ..kit.protocol.request import StepError

KEY = "modelbuild.pixels."
"""The metadata that carries an input's numbers; its name in the package follows."""
_NEAR = 1e-2
"""How far from a whole number a pixel may be and still be meant as one: float32 is that exact."""


@dataclass(frozen=True)
class Pixels:
    """What a package does to a picture: `pixel * scale + bias`, a bias for each channel.

    Attributes:
        scale: One number for all channels.
        bias: One a channel in the order of `color`, or none.
        color: The order of channels that the model takes: `RGB`, `BGR` or `GRAYSCALE`.
    """

    scale: float
    bias: tuple[float, ...]
    color: str

    def text(self) -> str:
        """The numbers as metadata."""
        return json.dumps({"bias": self.bias, "color": self.color, "scale": self.scale})

    @classmethod
    def of(cls, port: Port, metadata: Mapping[str, str]) -> Pixels:
        """An input's numbers out of a package's metadata.

        Raises:
            StepError: It has none.
        """
        key = KEY + (port.artifact_name or port.name)
        if key not in metadata:
            raise StepError(f"the package does not say how it scales the pixels of `{port.name}`")
        said = json.loads(metadata[key])
        return cls(said["scale"], tuple(said["bias"]), said["color"])

    def picture(self, array: NDArray[Any]) -> NDArray[Any]:
        """The picture that becomes an input of the model.

        Args:
            array: [1, channels, height, width], in the model's order of channels.

        Returns:
            [height, width, 3] in the order red, green, blue, or [height, width]: uint8 where all
            pixels are whole and from 0 to 255, else float32 as they are.
        """
        bias = np.array(self.bias or [0.0], np.float64).reshape(-1, 1, 1)
        pixels = (array[0].astype(np.float64) - bias) / self.scale
        whole = np.rint(pixels)
        found: NDArray[Any] = pixels.astype(np.float32)
        if np.all(np.abs(pixels - whole) < _NEAR) and whole.min() >= 0 and whole.max() <= 255:
            found = whole.astype(np.uint8)
        ordered = found[::-1] if self.color == "BGR" else found
        last = np.ascontiguousarray(ordered.transpose(1, 2, 0))
        return last.squeeze(2) if self.color == "GRAYSCALE" else last
