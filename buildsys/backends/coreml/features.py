"""Arrays of the model, and what a package takes and gives in their place: pictures, dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError
from .pixels import Pixels

_Arrays = dict[str, NDArray[Any]]


class Features:
    """Converts feeds and results by a package's contract.

    Attributes:
        notes: What an app cannot hand over and was fed all the same.
    """

    def __init__(self, contract: Contract, metadata: Mapping[str, str]) -> None:
        """Reads how pictures are scaled.

        Raises:
            StepError: An input takes pictures, and the package's metadata does not say how.
        """
        self._contract = contract
        self._pixels = {
            port.name: Pixels.of(port, metadata) for port in contract.inputs if port.kind == "image"
        }
        self.notes: list[str] = []

    def given(self, feed: Mapping[str, NDArray[Any]]) -> _Arrays:
        """What the package is fed for arrays of the model, by its own names.

        Raises:
            StepError: An integer does not survive the cast to the package's type.
        """
        fed: _Arrays = {}
        for port in self._contract.inputs:
            if port.kind == "image":
                picture = self._pixels[port.name].picture(feed[port.name])
                self._look(port, picture)
            else:
                picture = to_artifact(port, feed[port.name])
            fed[port.artifact_name or port.name] = picture
        return fed

    def taken(self, found: Mapping[str, Any]) -> _Arrays:
        """The model's outputs among what a package gave; the label of a classifier is none of them.

        Raises:
            StepError: A dictionary holds other classes than the contract.
        """
        return {
            port.name: _probabilities(port, found[port.artifact_name or port.name])
            if port.kind == "probabilities"
            else to_model(port, found[port.artifact_name or port.name])
            for port in self._contract.outputs
            if port.kind != "label"
        }

    def _look(self, port: Port, picture: NDArray[Any]) -> None:
        if picture.dtype != np.uint8 and not self.notes:
            self.notes.append(
                f"samples of `{port.name}` are not pictures: their pixels, from {picture.min():.4g} to "
                f"{picture.max():.4g}, are fed as they are, and an app's are whole numbers from 0 to 255"
            )


def _probabilities(port: Port, named: Mapping[Any, float]) -> NDArray[Any]:
    """A classifier's dictionary as the model's array, in the order of the contract's labels."""
    order = list(named) if port.labels is None else port.labels
    if set(order) != set(named):
        raise StepError(
            f"the classes of `{port.name}` are others in the package than in the contract"
        )
    numbers = np.array([named[label] for label in order], np.float64)
    return numbers.reshape([size for size in port.shape if isinstance(size, int)])
