"""The weights in a TFLite file: buffers of constant tensors, with their quantization."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..kit.inspect.stored_weights import ROWS, Array, Stored, along
from ..kit.protocol.contract import Contract
from .buffers import data_of
from .quantize.census import operator_name

FLOATS = {"FLOAT32": np.float32, "FLOAT16": np.float16, "FLOAT64": np.float64}
INTEGERS = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32}
NIBBLES = "INT4"
MATRIX = 1
"""Where a fully connected operator has its weights."""


def _names(kind: type) -> dict[int, str]:
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}


_TYPES = _names(schema.TensorType)
BLOCKWISE = schema.QuantizationDetails.BlockwiseQuantization


def read(path: Path, contract: Contract) -> Iterator[Stored]:
    """All constants that are floats, or that have a scale."""
    data = np.fromfile(path, np.uint8)
    root = schema.ModelT.InitFromPackedBuf(data, 0)
    names = [operator_name(code) for code in root.operatorCodes]
    for graph in root.subgraphs:
        users = _users(graph, names)
        for index, tensor in enumerate(graph.tensors):
            held = data_of(root.buffers[tensor.buffer], data)
            if held is not None and users.get(index):
                found = _stored(tensor, held, users[index]) or _in_blocks(
                    root, graph, tensor, held, users[index], data
                )
                if found is not None:
                    yield found


def _users(graph: Any, names: list[str]) -> dict[int, list[tuple[str, int]]]:
    """Tensor to the operators that use it, with the place; what only widens it is seen through."""
    found: dict[int, list[tuple[str, int]]] = {}
    for number, operator in enumerate(graph.operators):
        name = names[operator.opcodeIndex]
        for place, index in enumerate(operator.inputs if operator.inputs is not None else ()):
            found.setdefault(int(index), []).append((f"{name} {number}", place))
    for operator in graph.operators:
        if names[operator.opcodeIndex] == "DEQUANTIZE":
            behind = found.get(int(operator.outputs[0]))
            if behind:
                found[int(operator.inputs[0])] = behind
    return found


def _in_blocks(
    root: Any, graph: Any, tensor: Any, held: Array, users: list[tuple[str, int]], data: Array
) -> Stored | None:
    """A matrix with a scale for each block of a row; the scales are a tensor of their own."""
    quantized = tensor.quantization
    if quantized is None or quantized.detailsType != BLOCKWISE or _TYPES[tensor.type] != NIBBLES:
        return None
    scales = graph.tensors[quantized.details.scales]
    numbers = data_of(root.buffers[scales.buffer], data)
    if numbers is None or _TYPES[scales.type] not in FLOATS:
        return None
    shape = tuple(int(n) for n in tensor.shape)
    each = numbers.view(FLOATS[_TYPES[scales.type]]).reshape(*shape[:-1], -1)
    return Stored(
        tensor.name.decode(),
        _nibbles(held, int(np.prod(shape, dtype=np.int64))).reshape(shape),
        NIBBLES.lower(),
        scale=np.repeat(each, shape[-1] // each.shape[-1], axis=-1),
        readers=tuple(user for user, _ in users),
        orientation=_orientation(shape, users),
    )


def _orientation(shape: tuple[int, ...], users: list[tuple[str, int]]) -> str | None:
    matrix = len(shape) == 2 and all(
        user.startswith("FULLY_CONNECTED") and place == MATRIX for user, place in users
    )
    return ROWS if matrix else None


def _stored(tensor: Any, held: Array, users: list[tuple[str, int]]) -> Stored | None:
    kind = _TYPES[tensor.type]
    name = tensor.name.decode()
    shape = tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()
    readers = tuple(user for user, _ in users)
    orientation = _orientation(shape, users)
    if kind in FLOATS:
        values = held.view(FLOATS[kind]).reshape(shape)
        return Stored(name, values, kind.lower(), readers=readers, orientation=orientation)
    quantized = tensor.quantization
    if quantized is None or quantized.scale is None or not len(quantized.scale):
        return None
    if kind == NIBBLES:
        values = _nibbles(held, int(np.prod(shape, dtype=np.int64))).reshape(shape)
    elif kind in INTEGERS:
        values = held.view(INTEGERS[kind]).reshape(shape)
    else:
        return None
    axis = int(quantized.quantizedDimension)
    zero = quantized.zeroPoint
    return Stored(
        name,
        values,
        kind.lower(),
        scale=along(np.asarray(quantized.scale, np.float32), axis, len(shape)),
        zero_point=None
        if zero is None or not len(zero)
        else along(np.asarray(zero, np.int64), axis, len(shape)),
        readers=readers,
        orientation=orientation,
    )


def _nibbles(held: Array, count: int) -> Array:
    """Signed integers of four bits, two a byte, the low half first."""
    pairs = np.stack([held & 15, held >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return np.where(pairs > 7, pairs - 16, pairs).astype(np.int8)
