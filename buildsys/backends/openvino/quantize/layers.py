"""The layers of a model by name and type, for `keep_float` and `layers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...kit.quantize import mixing
from ...kit.quantize.mixing import Layer, Settings

NO_LAYERS = frozenset({"Parameter", "Constant", "Result", "Convert"})


def assigned(model: Any, wanted: Settings) -> dict[str, Settings | None]:
    """What each operation becomes, by its name; `None` where it stays as it is.

    A layer answers to its name in the file (`/body/0/Conv/WithoutBiases`), to the same as a path of
    modules (`body.0.Conv.WithoutBiases`), to the names of its weights (`body.0.weight`), and to the
    type of its operation (`type:Convolution`).

    Raises:
        StepError: A glob fits none; the error names the nearest.
    """
    layers: Mapping[str, Layer] = {
        operation.get_friendly_name(): Layer(_answers(operation), operation.get_type_name())
        for operation in model.get_ordered_ops()
        if operation.get_type_name() not in NO_LAYERS
    }
    return mixing.resolved(
        wanted,
        layers,
        "fits no layer of the OpenVINO model",
        f"it has {len(layers)} layers, named as the ONNX model names its nodes",
    )


def _answers(operation: Any) -> list[str]:
    """Its own name and its weights' as paths of modules, then the same as they are."""
    names = [operation.get_friendly_name()]
    names += [
        source.get_friendly_name()
        for source in (value.get_node() for value in operation.input_values())
        if source.get_type_name() == "Constant"
    ]
    return [*(name.strip("/").replace("/", ".") for name in names), *names]
