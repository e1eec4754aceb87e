"""Weights in float16: each is followed by a conversion, and arithmetic stays in float32."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from ...kit.protocol.request import Request

LEAST = 256
"""Smaller constants stay: the conversion's own text in `model.xml` would weigh more than is saved."""


def compress(model: Any, kept: Collection[str], request: Request) -> None:
    """Stores a model's float32 constants in float16.

    Args:
        model: Is changed.
        kept: Names of operations whose constants stay.
        request: Gets a note of weights that float16 cannot hold; those stay.
    """
    refused = []
    for constant in model.get_ordered_ops():
        if constant.get_type_name() != "Constant" or not _large(constant):
            continue
        readers = constant.output(0).get_target_inputs()
        if any(reader.get_node().get_friendly_name() in kept for reader in readers):
            continue
        values = constant.data
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(np.isfinite(half), np.isfinite(values)):
            refused.append(constant.get_friendly_name())
            continue
        name = constant.get_friendly_name()
        stored = ops.constant(half, dtype=ov.Type.f16, name=f"{name}/float16")
        widened = ops.convert(stored, "f32", name=name)
        for reader in readers:
            reader.replace_source_output(widened.output(0))
    if refused:
        request.note(
            "weights with values beyond float16 stay float32: "
            + ", ".join(f"`{name}`" for name in refused[:8])
        )


def _large(constant: Any) -> bool:
    output = constant.output(0)
    elements = int(np.prod(list(output.get_shape()), dtype=np.int64))
    return output.get_element_type() == ov.Type.f32 and elements >= LEAST
