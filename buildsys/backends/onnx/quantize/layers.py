"""The layers of an ONNX model, and what each becomes by a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...kit.quantize.mixing import Layer, Settings, resolved

Chosen = Mapping[str, Settings | None]
"""Node name to its profile."""


def choose(model: Any, wanted: Settings) -> dict[str, Settings | None]:
    """What each node of the main graph becomes.

    A node answers to its name as a path of modules (`body.0.Conv`), to that in the file
    (`/body/0/Conv`), and to the names of its weights (`body.0.weight`).

    Raises:
        StepError: A glob fits none; the error names the nearest.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    layers = {
        node.name: Layer(_answers(node, constants), node.op_type)
        for node in model.graph.node
        if node.op_type != "Constant"
    }
    hint = "they are named after the modules that they come from, or after what they give"
    return resolved(wanted, layers, "fits no operator of the ONNX model", hint)


def of(chosen: Chosen, scheme: str) -> dict[str, Settings]:
    """The nodes that a scheme is for, each with its profile."""
    return {
        name: settings
        for name, settings in chosen.items()
        if settings is not None and settings["scheme"] == scheme
    }


def agreed(group: Mapping[str, Settings], read: Callable[[Settings], Any]) -> Any:
    """What all profiles of a group say; raises `ValueError` where they do not agree."""
    said = [read(settings) for settings in group.values()]
    if any(each != said[0] for each in said):
        raise ValueError(said)
    return said[0]


def _answers(node: Any, constants: set[str]) -> list[str]:
    names = [node.name, *(name for name in node.input if name in constants)]
    return list(dict.fromkeys([*(n.strip("/").replace("/", ".") for n in names), *names]))
