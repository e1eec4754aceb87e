"""`weight-only`: integers in place of weights, which standard operators turn into floats again.

`DequantizeLinear` stands before each weight: any runtime computes the floats as it needs them, and
ONNX Runtime multiplies by matrices in blocks of 4 bits without writing them down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ...kit.protocol.request import Request
from ...kit.quantize.mixing import Settings
from . import prepared

Array = NDArray[Any]

DECODED = "_float"
"""What is added to a weight's name for what its integers stand for."""
TYPES = {
    (8, True): TensorProto.INT8,
    (8, False): TensorProto.UINT8,
    (4, True): TensorProto.INT4,
    (4, False): TensorProto.UINT4,
}
MATRIX = 2


@dataclass(frozen=True)
class Place:
    """Where an operator has a weight.

    Attributes:
        channel: The axis of output channels.
        along: The axis that is summed over, for blocks; `None` where blocks would cost more than they
            save, as along the few channels of a convolution.
    """

    channel: int
    along: int | None


@dataclass(frozen=True)
class Quantized:
    """Integers, and what they stand for: (values - zero) x scale.

    Attributes:
        values: In the shape of the weight; of 4 bits in a byte each.
        scale: One, one a channel, or one a block.
        zero: As `scale`; `None` where ranges lie around zero.
    """

    values: Array
    scale: Array
    zero: Array | None


def needs_newer(settings: Settings) -> bool:
    """Whether what a profile asks for is not in older operator sets."""
    return settings.get("bits", 8) < 8 or bool(settings.get("block_size"))


def quantize(model: Any, group: Mapping[str, Settings], request: Request) -> None:
    """Replaces the weights of these nodes.

    A weight that nodes with other settings read as well stays as it is.
    """
    weights = prepared.weights(model)
    readers: dict[str, list[tuple[Any, int]]] = {}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name in weights:
                readers.setdefault(name, []).append((node, index))
    shared, whole = [], []
    for name, users in readers.items():
        asked = [group.get(node.name) for node, _ in users]
        places = [_place(node, index, weights[name]) for node, index in users]
        if all(each is None for each in asked) or places[0] is None:
            continue
        settings = asked[0]
        if settings is None or any(each != settings for each in asked) or None in places:
            shared.append(name)
            continue
        if settings.get("block_size") and places[0].along is None:
            whole.append(name)
        _replace(model, weights[name], places[0], settings, users)
    if shared:
        request.note(f"stay float32, as operators of other settings read them: {_listed(shared)}")
    if whole:
        request.note(
            f"a scale a channel in place of blocks, which are for matrices: {_listed(whole)}"
        )


def quantized(values: Array, place: Place, settings: Settings) -> Quantized:
    """A weight's integers.

    With ranges around zero, 8 bits are -127 to 127; of 4 bits all 16 levels are used: the number that
    is farthest from zero becomes -8, whatever its sign, as ONNX Runtime's own quantizer for matrices
    has it.

    Args:
        values: The weight.
        place: What its axes are.
        settings: `bits`, `symmetric`, `per_channel`, `block_size`.
    """
    bits, symmetric = settings.get("bits", 8), settings.get("symmetric") is not False
    block = settings.get("block_size") if place.along is not None else None
    exact = values.astype(np.float64)
    if block and place.along is not None:
        parts = range(0, values.shape[place.along], block)
        pieces = [
            _whole(
                np.take(exact, range(p, min(p + block, values.shape[place.along])), place.along),
                (place.along,),
                bits,
                symmetric,
            )
            for p in parts
        ]
        join = [np.concatenate(each, place.along) for each in zip(*pieces, strict=True)]
        integers, scale, zero = join
    else:
        axes = tuple(range(values.ndim))
        if settings.get("per_channel") is not False:
            axes = tuple(axis for axis in axes if axis != place.channel % values.ndim)
        integers, scale, zero = _whole(exact, axes, bits, symmetric)
        scale, zero = scale.reshape(-1), zero.reshape(-1)
        if settings.get("per_channel") is False:
            scale, zero = scale[0], zero[0]
    kind = np.int8 if symmetric else np.uint8
    return Quantized(
        integers.astype(kind),
        scale.astype(np.float32),
        None if symmetric else np.asarray(zero).astype(kind),
    )


def _whole(
    values: Array, axes: tuple[int, ...], bits: int, symmetric: bool
) -> tuple[Array, Array, Array]:
    """Integers, scales and zero points with one scale over `axes`, which are kept at size 1."""
    low, high = (find(values, axis=axes, keepdims=True) for find in (np.min, np.max))
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    if symmetric and bits == 8:
        scale = np.maximum(-low, high) / most
        least = -most
    elif symmetric:
        scale = np.where(-low >= high, low, high) / least
    else:
        scale = (high - low) / most
    scale = np.where(scale == 0, 1.0, scale).astype(np.float32).astype(np.float64)
    zero = np.zeros_like(scale) if symmetric else np.clip(np.rint(-low / scale), least, most)
    return np.clip(np.rint(values / scale) + zero, least, most), scale, zero


def is_place(node: Any, index: int, tensor: Any) -> bool:
    """Whether an operator's input is a weight that can become integers."""
    return _place(node, index, tensor) is not None


def _place(node: Any, index: int, tensor: Any) -> Place | None:
    """What the axes of a node's weight are; `None` where it has none there."""
    rank = len(tensor.dims)
    kind = node.op_type
    if kind == "Conv" and index == 1:
        return Place(0, None)
    if kind == "ConvTranspose" and index == 1:
        return Place(1, None)
    if kind == "Gemm" and index == 1:
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        return Place(0, 1) if turned else Place(1, 0)
    if kind == "MatMul" and index == 1:
        return Place(rank - 1, rank - 2 if rank == MATRIX else None)
    if kind == "MatMul" and index == 0:
        return Place(rank - 2, None)
    if kind == "Gather" and index == 0 and rank == MATRIX:
        return Place(0, 1)
    if kind in prepared.RECURRENT and 1 <= index <= prepared.RECURRENT_WEIGHTS:
        return Place(1, None)
    return None


def _replace(
    model: Any, tensor: Any, place: Place, settings: Settings, users: list[tuple[Any, int]]
) -> None:
    graph = model.graph
    name = tensor.name
    found = quantized(numpy_helper.to_array(tensor), place, settings)
    kind = TYPES[settings.get("bits", 8), settings.get("symmetric") is not False]
    integers = _tensor(name, kind, found.values)
    inputs = [name, f"{name}_scale"]
    added = [numpy_helper.from_array(found.scale, inputs[1])]
    if found.zero is not None:
        inputs.append(f"{name}_zero_point")
        added.append(_tensor(inputs[2], kind, found.zero))
    axis: dict[str, int] = {}
    if found.scale.ndim == 1:
        axis = {"axis": place.channel}
    elif found.scale.ndim > 1 and place.along is not None:
        axis = {"axis": place.along, "block_size": settings["block_size"]}
    node = helper.make_node("DequantizeLinear", inputs, [name + DECODED], name + DECODED, **axis)
    tensor.CopyFrom(integers)
    graph.initializer.extend(added)
    for user, index in users:
        user.input[index] = name + DECODED
    graph.node.insert(0, node)


def _tensor(name: str, kind: int, values: Array) -> Any:
    if kind in (TensorProto.INT8, TensorProto.UINT8):
        return numpy_helper.from_array(values, name)
    return helper.make_tensor(name, kind, values.shape, values.ravel().tolist())


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
