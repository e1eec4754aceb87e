"""What integers within an ONNX file stand for: the floats that they were made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.inspect.stored_weights import along

Array = NDArray[Any]

GIVEN = {"QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7)}
"""Operators that give integers, and the places of their inputs that say the scale and zero point."""
DYNAMIC = "DynamicQuantizeLinear"
"""Gives integers, their scale and their zero point."""
MOVES = (
    *("Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"),
    *("Slice", "Split", "MaxPool", "Gather"),
)
"""Operators that give integers which they were given, in another order or some of them."""


@dataclass(frozen=True)
class Scale:
    """What integers are multiplied with, by the names of values.

    Attributes:
        scale: The scale.
        zero: The zero point; `None` is 0.
        axis: The axis of several scales.
    """

    scale: str
    zero: str | None
    axis: int

    def meant(self, values: Array, known: Mapping[str, Array]) -> Array | None:
        """What integers stand for, in float32; `None` where their scale is not known."""
        scale = known.get(self.scale)
        zero = np.zeros(1) if self.zero is None else known.get(self.zero)
        if scale is None or zero is None or scale.size not in (1, _length(values, self.axis)):
            return None
        wide = [along(each, self.axis, values.ndim).astype(np.float64) for each in (scale, zero)]
        return np.asarray((values.astype(np.float64) - wide[1]) * wide[0], np.float32)


def scales(graph: Any) -> dict[str, Scale]:
    """The scales of a graph's computed integers, by their names; others are not known.

    The scale is that of what made them: one that is read with another is wrong where it is read.
    """
    found: dict[str, Scale] = {}
    for node in graph.node:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if node.op_type in GIVEN:
            named = [node.input[p] for p in GIVEN[node.op_type] if p < len(node.input)]
            zero = named[1] if len(named) > 1 and named[1] else None
            found[node.output[0]] = Scale(named[0], zero, axis)
        elif node.op_type == DYNAMIC:
            found[node.output[0]] = Scale(node.output[1], node.output[2], axis)
        elif node.op_type in MOVES and node.input[0] in found:
            given = found[node.input[0]]
            found |= {name: given for name in node.output[:1] if name}
    return found


def _length(values: Array, axis: int) -> int:
    return int(values.shape[axis]) if -values.ndim <= axis < values.ndim else 0
