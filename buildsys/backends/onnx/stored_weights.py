"""The weights in an ONNX file: initializers and constants, in the file or beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ..kit.inspect.stored_weights import COLUMNS, ROWS, Array, Norm, Stored, Weights, along
from ..kit.protocol.contract import Contract
from .files import model_file

FLOATS = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.BFLOAT16: "bfloat16",
}
QUANTIZED = ("DequantizeLinear",)
SCALED = {
    # Operator to the places of integers, scale, zero point.
    "QLinearConv": (3, 4, 5),
    "QLinearMatMul": (3, 4, 5),
}
PACKED = "MatMulNBits"
"""ONNX Runtime's product with a matrix whose integers share bytes, with a scale a block of each row."""
LSTM = "DynamicQuantizeLSTM"
TURNED = {1: (8, 9), 2: (10, 11)}
"""Where it has weights, as [directions, inputs, outputs], to the places of their scale and zero point."""
NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "InstanceNormalization")
FIRST = 1
"""Where a batch norm keeps its factors; shifts, means and variances follow."""


def read(path: Path, contract: Contract) -> Weights:
    """All constants that are floats, or stand for floats; also where the file is the model itself."""
    file = model_file(path)
    model = onnx.load(str(file))
    tensors: list[Stored] = []
    norms: list[Norm] = []
    for graph in _graphs(model.graph):
        tensors += _of_graph(graph)
        norms += _norms(graph)
    return Weights(tensors, norms)


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(
                attribute.graphs
            ):
                yield from _graphs(inner)


def _constants(graph: Any) -> dict[str, Any]:
    """Name to `TensorProto`."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = attribute.t
    return found


def _of_graph(graph: Any) -> Iterator[Stored]:
    constants = _constants(graph)
    readers = _readers(graph)
    decoded = {
        node.input[0]: node
        for node in graph.node
        if node.op_type in QUANTIZED and node.input[0] in constants
    }
    multiplied = dict(_multiplied(graph))
    parts = {name for node in decoded.values() for name in node.input[1:]}
    for node in graph.node:
        if node.op_type in SCALED:
            parts |= {node.input[place] for place in SCALED[node.op_type][1:]}
    products = dict(_integer_products(graph, constants))
    parts |= {name for product in products.values() for name in product[1:] if name}
    packed = {n.input[1]: n for n in graph.node if n.op_type == PACKED and n.input[1] in constants}
    parts |= {name for node in packed.values() for name in node.input[2:] if name}
    for name, tensor in constants.items():
        users = readers.get(name, ())
        if tensor.data_type in FLOATS:
            if name not in parts and users:
                yield _float(name, tensor, users)
        elif name in decoded:
            node = decoded[name]
            yield _quantized(name, constants, node, readers.get(node.output[0], ()))
        elif name in multiplied:
            yield _multiplied_one(name, constants, multiplied[name], users)
        elif name in products:
            yield _product(name, constants, products[name], users)
        elif name in packed:
            yield _unpacked(name, constants, packed[name], users)


def _readers(graph: Any) -> Mapping[str, tuple[Any, ...]]:
    """Name of a tensor to the nodes that use it, with the place at which they do.

    What is added to a matrix product is the bias of that, which uses it at no place.
    """
    found: dict[str, list[Any]] = {}
    for part in _graphs(graph):  # A branch sees the constants around it.
        products = _products(part)
        for node in part.node:
            for place, name in enumerate(node.input):
                found.setdefault(name, []).append((node, place))
                others = [products[n] for n in node.input if n in products]
                if node.op_type == "Add" and name not in products:
                    found[name] += [(other, None) for other in others]
    return {name: tuple(users) for name, users in found.items()}


def _float(name: str, tensor: Any, users: tuple[Any, ...]) -> Stored:
    storage = FLOATS[tensor.data_type]
    values = numpy_helper.to_array(tensor)
    if storage == "bfloat16":
        values = values.astype(np.float32)
    return Stored(
        name,
        values,
        storage,
        readers=_shown(users),
        orientation=_orientation(values, users),
        eps=_eps(users),
    )


def _eps(users: tuple[Any, ...]) -> float | None:
    """The epsilon of the one norm whose gain a constant is."""
    if len(users) != 1 or users[0][1] != FIRST or users[0][0].op_type not in NORMS:
        return None
    return next((float(a.f) for a in users[0][0].attribute if a.name == "epsilon"), 1e-5)


def _quantized(
    name: str, constants: Mapping[str, Any], node: Any, users: tuple[Any, ...]
) -> Stored:
    values = numpy_helper.to_array(constants[name])
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    block = next((a.i for a in node.attribute if a.name == "block_size"), 0)
    parts: list[Array | None] = []
    for place in (1, 2):
        held = constants.get(node.input[place]) if len(node.input) > place else None
        part = None if held is None else numpy_helper.to_array(held)
        if part is not None:
            part = (
                # The last block may be a shorter one.
                np.repeat(part, block, axis).take(range(values.shape[axis]), axis)
                if block
                else along(part, axis % max(1, values.ndim), values.ndim)
            )
        parts.append(part)
    return Stored(
        name,
        _integers(values),
        _type_of(constants[name]),
        scale=parts[0],
        zero_point=None if parts[1] is None else _integers(parts[1]),
        readers=_shown(users),
        orientation=_orientation(values, users),
    )


def _multiplied(graph: Any) -> Iterator[tuple[str, Any]]:
    """Integers that an operator multiplies as they are, or with scales of its own."""
    for node in graph.node:
        if node.op_type in SCALED:
            yield node.input[SCALED[node.op_type][0]], node


def _multiplied_one(
    name: str, constants: Mapping[str, Any], node: Any, users: tuple[Any, ...]
) -> Stored:
    values = numpy_helper.to_array(constants[name])
    axis = 0 if node.op_type == "QLinearConv" else values.ndim - 1
    scale, zero = (
        along(numpy_helper.to_array(constants[node.input[place]]), axis, values.ndim)
        for place in SCALED[node.op_type][1:]
    )
    return Stored(
        name,
        _integers(values),
        _type_of(constants[name]),
        scale=scale,
        zero_point=_integers(zero),
        readers=_shown(users),
    )


def _integer_products(
    graph: Any, constants: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[Any, str, str | None]]]:
    """Weights of operators that multiply integers, each with the operator, its scale and zero point.

    `MatMulInteger` knows no scale: it is multiplied, with that of the activations, into what it gives.
    """
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == LSTM:
            for place, (scale, shift) in TURNED.items():
                yield node.input[place], (node, node.input[scale], node.input[shift])
        elif node.op_type == "MatMulInteger" and node.input[1] in constants:
            factors = {
                name
                for cast in _using(graph, node.output[0])
                for product in _using(graph, cast.output[0])
                for given in product.input
                if given in made
                for name in made[given].input
                if name in constants
            }
            if len(factors) == 1:
                zero = node.input[3] if len(node.input) > 3 else None
                yield node.input[1], (node, factors.pop(), zero)


def _using(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if name in node.input]


def _product(
    name: str,
    constants: Mapping[str, Any],
    product: tuple[Any, str, str | None],
    users: tuple[Any, ...],
) -> Stored:
    node, *held = product
    values = _integers(numpy_helper.to_array(constants[name]))
    if node.op_type == LSTM:
        values = values.transpose(0, 2, 1)
    parts: list[Array | None] = []
    for each in held:
        part = numpy_helper.to_array(constants[each]) if each else None
        if part is not None and node.op_type == LSTM:  # By directions, and outputs where there are.
            part = part.reshape([*part.shape, *[1] * (values.ndim - part.ndim)])
        elif part is not None:
            part = along(part, values.ndim - 1, values.ndim)
        parts.append(part)
    scale, zero_point = parts
    return Stored(
        name,
        values,
        _type_of(constants[name]),
        scale=scale,
        zero_point=None if zero_point is None else _integers(zero_point),
        readers=_shown(users),
        orientation=COLUMNS if node.op_type == "MatMulInteger" else None,
    )


def _unpacked(name: str, constants: Mapping[str, Any], node: Any, users: tuple[Any, ...]) -> Stored:
    """The matrix of a `MatMulNBits`, [outputs, inputs], with its scales repeated."""
    told = {a.name: a.i for a in node.attribute}
    bits, block, columns, rows = (told[key] for key in ("bits", "block_size", "K", "N"))
    blocks = -(-columns // block)
    held = [
        numpy_helper.to_array(constants[each]) if each in constants else None
        for each in [*node.input[2:], *[""] * 3][:3]
    ]
    scale, zero, places = held
    which = np.arange(columns) // block if places is None else places.astype(np.int64)[:columns]
    values = _fields(numpy_helper.to_array(constants[name]).reshape(rows, -1), bits)[:, :columns]
    if zero is None:
        zero = np.full((rows, blocks), 2 ** (bits - 1))
    elif zero.dtype == np.uint8:
        zero = _fields(zero.reshape(rows, -1), bits)
    assert scale is not None
    return Stored(
        name,
        values,
        f"uint{bits}",
        scale=scale.reshape(rows, blocks)[:, which],
        zero_point=zero.reshape(rows, -1)[:, which],
        readers=_shown(users),
        orientation=ROWS,
    )


def _fields(held: Array, bits: int) -> Array:
    """The integers of so many bits in each row of bytes, the lowest first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (held[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    return fields.reshape(len(held), -1)


def _integers(values: Array) -> Array:
    """Integers of a width that numpy itself has."""
    return values if values.dtype.kind in "iu" else values.astype(np.int8)


def _type_of(tensor: Any) -> str:
    return str(onnx.TensorProto.DataType.Name(tensor.data_type)).lower()


def _shown(users: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(f"{node.op_type} {node.name}".strip() for node, _ in users)


def _products(graph: Any) -> dict[str, Any]:
    """What matrix products give, to their nodes: an addition after one is the layer's bias."""
    return {node.output[0]: node for node in graph.node if node.op_type == "MatMul"}


def _orientation(values: Array, users: tuple[Any, ...]) -> str | None:
    """How a linear layer's matrix lies, where its operators agree on it."""
    found = {_of_user(node, place) for node, place in users}
    return found.pop() if values.ndim == 2 and len(found) == 1 else None


def _of_user(node: Any, place: int | None) -> str | None:
    if place != 1:
        return None
    if node.op_type == "MatMul":
        return COLUMNS
    if node.op_type == "Gemm":
        turned = next((a.i for a in node.attribute if a.name == "transB"), 0)
        return ROWS if turned else COLUMNS
    return None


def _norms(graph: Any) -> Iterator[Norm]:
    """The batch norms of a graph, for where the file is the original."""
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            gamma, beta, mean, variance = node.input[FIRST : FIRST + 4]
            eps = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
            yield Norm(node.name or node.output[0], gamma, beta, mean, variance, (float(eps),))
