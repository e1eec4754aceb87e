"""The layers of a model by name, for `keep_float`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..kit.globs import fitting

_NO_LAYERS = frozenset({"Parameter", "Constant", "Result", "Convert"})


def kept(model: Any, patterns: Sequence[str]) -> set[str]:
    """Names of the operations that globs fit.

    A layer answers to its name in the file (`/body/0/Conv/WithoutBiases`), to the same as a path of
    modules (`body.0.Conv.WithoutBiases`), and to the names of its weights (`body.0.weight`).

    Raises:
        StepError: A glob fits none; the nearest names are told.
    """
    if not patterns:
        return set()
    answers = {
        operation.get_friendly_name(): _answers(operation)
        for operation in model.get_ordered_ops()
        if operation.get_type_name() not in _NO_LAYERS
    }
    return set(
        fitting(
            patterns,
            answers,
            "fits no layer of the OpenVINO model",
            f"it has {len(answers)} layers, named as the ONNX model names its nodes",
        )
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
