"""Operations that a quantizer does as well as its own work, and constants that are written twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

Array = NDArray[Any]
RANGE = range(1, 5)
"""A quantizer's inputs: the ends of what it takes, and of what it gives."""
TAKEN = {"Add": np.subtract, "Subtract": np.add, "Multiply": np.divide, "Divide": np.multiply}
"""Operations with a constant, and how the ends of a range before one follow from those after it."""
ROUNDING = 1e-6
"""What float32 may move an end of a range by, as part of the range."""


def merge(model: Any) -> None:
    """Has quantizers do what stands before them, and writes each of their numbers once.

    Args:
        model: Is changed. Quantizers take the names of what they do.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Relu":
            _take_relu(node)
    quantizers = [n for n in model.get_ordered_ops() if n.get_type_name() == "FakeQuantize"]
    for quantizer in quantizers:
        _take_standardisation(quantizer)
    _share(quantizers)


def _take_relu(relu: Any) -> None:
    """Leaves out what a range that begins at zero clips as well, as OpenVINO itself does before it runs."""
    places = list(relu.output(0).get_target_inputs())
    quantizers = [place.get_node() for place in places]
    if not places or any(node.get_type_name() != "FakeQuantize" for node in quantizers):
        return
    ends = [node.input_value(1).get_node() for node in quantizers]
    if any(end.get_type_name() != "Constant" or np.min(end.data) < 0 for end in ends):
        return
    for place in places:
        place.replace_source_output(relu.input_value(0))
    if len(places) == 1:
        quantizers[0].set_friendly_name(relu.get_friendly_name())


def _take_standardisation(quantizer: Any) -> None:
    """Takes what an input is shifted and scaled by into the range that is taken.

    What is given stays. It is left as it is where a range would be turned around, or lose its ends to
    float32: next to a large mean.
    """
    ends = [quantizer.input_value(place).get_node() for place in (1, 2)]
    if any(end.get_type_name() != "Constant" for end in ends):
        return
    low, high = (np.asarray(end.data, np.float64) for end in ends)
    first = value = quantizer.input_value(0)
    while value.get_node().get_type_name() in TAKEN:
        node = value.get_node()
        kind = node.get_type_name()
        # What stands on the left can be a constant of what commutes alone.
        left = node.input_value(0).get_node().get_type_name() == "Constant"
        other = node.input_value(0 if left else 1).get_node()
        if other.get_type_name() != "Constant" or (left and kind in ("Subtract", "Divide")):
            return
        if len(value.get_target_inputs()) > 1:
            return
        number = np.asarray(other.data, np.float64)
        with np.errstate(all="ignore"):
            low, high = TAKEN[kind](low, number), TAKEN[kind](high, number)
        value = node.input_value(1 if left else 0)
    if (
        value.get_node().get_type_name() != "Parameter"
        or first.get_node().get_type_name() == "Parameter"
        or value.get_partial_shape() != first.get_partial_shape()
        or value.get_element_type() != ov.Type.f32
    ):
        return
    with np.errstate(all="ignore"):
        short = [end.astype(np.float32) for end in (low, high)]
        moved = max(float(np.abs(s - e).max()) for s, e in zip(short, (low, high), strict=True))
        width = float((high - low).min())
    # Negative where a range is turned around, and no number where it has no end.
    if not moved <= ROUNDING * width:
        return
    for place, end in enumerate(short, 1):
        constant = ops.constant(end.reshape(()) if end.size == 1 else end)
        quantizer.input(place).replace_source_output(constant.output(0))
    quantizer.input(0).replace_source_output(value)
    quantizer.set_friendly_name(first.get_node().get_friendly_name())


def _share(quantizers: list[Any]) -> None:
    """Has equal ends of ranges be one constant, which has no name of its own."""
    known: dict[tuple[Any, ...], Any] = {}
    for quantizer in quantizers:
        for place in RANGE:
            source = quantizer.input_value(place)
            node = source.get_node()
            if node.get_type_name() != "Constant":
                continue
            kind = node.get_element_type().get_type_name()
            key = (kind, tuple(node.get_output_shape(0)), node.data.tobytes())
            if key not in known:
                known[key] = ops.constant(np.array(node.data), dtype=node.get_element_type())
            quantizer.input(place).replace_source_output(known[key].output(0))
