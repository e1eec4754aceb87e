"""The weights in OpenVINO IR: constants, and what decompresses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.inspect.stored_weights import COLUMNS, ROWS, Array, Stored
from ..kit.protocol.contract import Contract
from . import ir

FLOATS = {"f32": "float32", "f16": "float16", "f64": "float64", "bf16": "bfloat16"}
INTEGERS = {"i8": "int8", "u8": "uint8", "i4": "int4", "u4": "uint4"}
BIASED = frozenset(
    {
        "MatMul",
        "Convolution",
        "GroupConvolution",
        "ConvolutionBackpropData",
        "GroupConvolutionBackpropData",
    }
)
"""Operations that have their bias added by an operation of its own."""
MATRIX = 1
"""Where a matrix product has its second factor."""
SUBTRAHEND = 1
"""Where a subtraction has what it takes away."""


def read(path: Path, contract: Contract) -> Iterator[Stored]:
    """All constants that are floats, or integers that are widened and scaled to floats."""
    model = ir.read(path)
    for graph in _graphs(model):
        operations = list(graph.get_ordered_ops())
        chains = [
            _Chain(operation) for operation in operations if operation.get_type_name() == "Constant"
        ]
        parts = {id_ for chain in chains for id_ in chain.parts}
        for chain in chains:
            if chain.constant.get_friendly_name() not in parts:
                found = chain.stored()
                if found is not None:
                    yield found


def _graphs(model: Any) -> Iterator[Any]:
    yield model
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "If":
            for branch in (0, 1):
                yield from _graphs(operation.get_function(branch))
        elif kind in ("Loop", "TensorIterator"):
            yield from _graphs(operation.get_function())


class _Chain:
    """A constant, and the operations that make floats of it: Convert, Subtract, Multiply or Divide, Reshape.

    Attributes:
        constant: Where it begins.
        parts: Names of the constants that are its scale and zero point.
    """

    def __init__(self, constant: Any) -> None:
        self.constant = constant
        self.parts: list[str] = []
        self._scale: Array | None = None
        self._zero: Array | None = None
        self._end = constant
        output = constant.output(0)
        self._kind = output.get_element_type().get_type_name()
        users = _users(constant)
        if len(users) == 1 and users[0][0].get_type_name() == "Convert":
            self._end = users[0][0]
            if self._kind in INTEGERS:
                self._scaled()

    def _scaled(self) -> None:
        for kind in ("Subtract", "Multiply", "Divide"):
            users = _users(self._end)
            if len(users) != 1 or users[0][0].get_type_name() != kind:
                continue
            node, place = users[0]
            other = _constant(node.input_value(1 - place).get_node())
            # What is subtracted is a zero point, and no weight that has one.
            if other is None or (kind == "Subtract" and place == SUBTRAHEND):
                continue
            if kind == "Subtract":
                self._zero = _integers(other)
            else:
                values = np.array(other.data)
                self._scale = 1 / values if kind == "Divide" else values
            self.parts.append(other.get_friendly_name())
            self._end = node
        after = _users(self._end)
        if len(after) == 1 and after[0][0].get_type_name() in ("Reshape", "Convert"):
            self._end = after[0][0]

    def stored(self) -> Stored | None:
        """The constant, unless it is integers that stay integers."""
        users = _users(self._end)
        values = np.array(self.constant.data)
        shape = tuple(self.constant.output(0).get_shape())
        nodes = [node for node, _ in users] + [_before(node, place) for node, place in users]
        readers = tuple(
            f"{node.get_type_name()} {node.get_friendly_name()}"
            for node in nodes
            if node is not None
        )
        name = self.constant.get_friendly_name()
        if not users:
            return None
        orientation = _orientation(len(shape), users)
        if self._kind in FLOATS:
            storage = FLOATS[self._kind]
            if storage == "bfloat16":
                values = values.astype(np.float32)
            return Stored(
                name,
                values.reshape(shape),
                storage,
                readers=readers,
                orientation=orientation,
                eps=_eps(users),
            )
        if self._kind not in INTEGERS or self._scale is None:
            return None
        return Stored(
            name,
            _integers(self.constant),
            INTEGERS[self._kind],
            scale=self._scale,
            zero_point=self._zero,
            readers=readers,
            orientation=orientation,
        )


def _users(operation: Any) -> list[tuple[Any, int]]:
    return [
        (target.get_node(), target.get_index())
        for target in operation.output(0).get_target_inputs()
    ]


def _before(node: Any, place: int) -> Any:
    """The layer whose bias an addition adds."""
    if node.get_type_name() != "Add":
        return None
    other = node.input_value(1 - place).get_node()
    return other if other.get_type_name() in BIASED else None


def _eps(users: list[tuple[Any, int]]) -> float | None:
    """The epsilon of the norm whose gain a constant is: what it multiplies is an `MVN`."""
    if len(users) != 1 or users[0][0].get_type_name() != "Multiply":
        return None
    node, place = users[0]
    norm = node.input_value(1 - place).get_node()
    return float(norm.get_attributes()["eps"]) if norm.get_type_name() == "MVN" else None


def _constant(node: Any) -> Any:
    """The constant that a value is, seen through its widening."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _orientation(rank: int, users: list[tuple[Any, int]]) -> str | None:
    found = {_of_user(node, place) for node, place in users}
    return found.pop() if rank == 2 and len(found) == 1 else None


def _of_user(node: Any, place: int) -> str | None:
    if node.get_type_name() != "MatMul" or place != MATRIX:
        return None
    return ROWS if node.get_attributes()["transpose_b"] else COLUMNS


def _integers(constant: Any) -> Array:
    """A constant's integers, in its shape."""
    output = constant.output(0)
    kind, shape = output.get_element_type().get_type_name(), tuple(output.get_shape())
    values = np.array(constant.data)
    if kind in ("i4", "u4"):
        values = _nibbles(values, int(np.prod(shape, dtype=np.int64)), kind == "i4")
    return values.reshape(shape)


def _nibbles(held: Array, count: int, signed: bool) -> Array:
    """Integers of four bits, two a byte, the low half first."""
    data = held.view(np.uint8).reshape(-1)
    pairs = np.stack([data & 15, data >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return np.where(pairs > 7, pairs - 16, pairs).astype(np.int8) if signed else pairs
