"""Weights of recurrent layers as integers of eight bits, widened before they are used.

NNCF compresses no recurrent layer, and where it calibrates one it makes integers of the states as well:
what a layer is to remember for a hundred steps is rounded at each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from ...kit.protocol.request import Request
from ...kit.quantize.mixing import Settings

WEIGHTS = {
    "LSTMSequence": (4, 5),
    "GRUSequence": (3, 4),
    "RNNSequence": (3, 4),
    "LSTMCell": (3, 4),
    "GRUCell": (2, 3),
    "RNNCell": (2, 3),
}
"""Operations to the inputs that are weights: of what comes in, and of the state."""
MOST = 127


def names(model: Any) -> set[str]:
    """Names of the recurrent operations of a model."""
    return {
        operation.get_friendly_name()
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in WEIGHTS
    }


def compress(model: Any, wanted: Settings, mine: Collection[str], request: Request) -> None:
    """Makes integers around zero of recurrent layers' weights; arithmetic stays in float32.

    Args:
        model: Is changed.
        wanted: `scheme`, `per_channel`; a scale a channel is one for each output of each gate.
        mine: Names of the operations whose weights become integers.
        request: Gets a note of which.
    """
    done: Counter[str] = Counter()
    for layer in model.get_ordered_ops():
        kind, name = layer.get_type_name(), layer.get_friendly_name()
        if kind not in WEIGHTS or name not in mine:
            continue
        found = [_compress(layer.input(place), wanted) for place in WEIGHTS[kind]]
        done[kind] += any(found)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items()) if count)
    if not said:
        return
    if wanted["scheme"] == "static":
        request.note(
            f"{said}: weights as integers, arithmetic in float: states that are rounded at each step "
            "lose what they hold"
        )
    elif wanted.get("symmetric") is False:
        request.note(f"{said}: the weights' integers lie around zero, without zero points")


def _compress(place: Any, wanted: Settings) -> bool:
    """Puts integers and a scale in the place of a weight; whether there was one in float32."""
    stored = place.get_source_output().get_node()
    if stored.get_type_name() != "Constant" or stored.get_element_type() != ov.Type.f32:
        return False
    values = np.array(stored.data)
    axes = None if wanted.get("per_channel") is False else -1
    scale = np.abs(values).max(axis=axes, keepdims=True) / np.float32(MOST)
    scale[scale == 0] = 1
    name = stored.get_friendly_name()
    integers = ops.constant(np.rint(values / scale).astype(np.int8), name=name)
    widened = ops.convert(integers, "f32", name=f"{name}/convert")
    # A division, for the CPU plugin leaves a multiplication of converted integers as it is where a model
    # has quantizers, and then finds no constant where its recurrent layers want one.
    divided = ops.divide(
        widened, ops.constant(1 / scale, name=f"{name}/steps"), name=f"{name}/divide"
    )
    place.replace_source_output(divided.output(0))
    return True
