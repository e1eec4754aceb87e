"""The operations of a float model that can be quantized one by one; see `kit.quantize.sensitivity`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...kit.protocol.contract import Contract
from .. import ir
from .layers import NO_LAYERS

WEIGHT_AXES = 2
"""The least number of axes of what counts as a weight: biases and gains have one."""


def layers(path: Path, contract: Contract) -> dict[str, bool]:
    """Names of the operations, each with whether it reads weights."""
    return {
        operation.get_friendly_name(): any(map(_weight, operation.input_values()))
        for operation in ir.read(path).get_ordered_ops()
        if operation.get_type_name() not in NO_LAYERS
    }


def _weight(value: Any) -> bool:
    """Whether an input is a constant of several axes in floating point, maybe through a conversion."""
    node = value.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
        return False
    # Constants that broadcast have axes of one.
    axes = sum(int(size) > 1 for size in node.get_output_shape(0))
    return axes >= WEIGHT_AXES
