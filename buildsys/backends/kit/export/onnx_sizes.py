"""Writes sizes of inputs into an ONNX model, for converters to infer shapes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def write(model: Any, shapes: Mapping[str, Sequence[int | str]]) -> bool:
    """Gives inputs their sizes, in place, and forgets what was inferred of others.

    Args:
        model: The ONNX model.
        shapes: An input's name in the model to its sizes; those that vary are symbols.

    Returns:
        Whether any of them was another before, or missing.
    """
    changed = [_fit(each, shapes[each.name]) for each in model.graph.input if each.name in shapes]
    if any(changed):
        # What was inferred of other sizes says less, or something else.
        del model.graph.value_info[:]
    return any(changed)


def _fit(given: Any, shape: Sequence[int | str]) -> bool:
    kind = given.type.tensor_type
    held = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    wanted = [size if isinstance(size, int) else None for size in shape]
    if kind.HasField("shape") and held == wanted:
        return False
    kind.ClearField("shape")
    kind.shape.SetInParent()  # Of no axes at all, too: a shape that is missing says nothing.
    for size in shape:
        axis = kind.shape.dim.add()
        if isinstance(size, int):
            axis.dim_value = size
        else:
            axis.dim_param = size
    return True
