"""The weights in a Core ML package: constants of its program, and what decompresses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.inspect.stored_weights import COLUMNS, ROWS, Array, Stored, along
from ..kit.protocol.contract import Contract
from .evaluator.compression import PREFIX, decode
from .evaluator.constants import Constant, tensor_type
from .evaluator.constants import read as read_value
from .evaluator.package import Package

FLOATS = {"FLOAT16": "float16", "FLOAT32": "float32", "FLOAT64": "float64"}
AFFINE, BLOCKS, CAST = (
    f"{PREFIX}affine_dequantize",
    f"{PREFIX}blockwise_shift_scale",
    f"{PREFIX}cast",
)
NORMS = ("layer_norm", "batch_norm", "instance_norm")
MATRICES = {"linear": "weight", "matmul": "y"}
"""Operations that take a linear layer's matrix, and their input that is it."""
Users = Mapping[str, list[tuple[Any, str]]]


def read(path: Path, contract: Contract) -> Iterator[Stored]:
    """All constants that are floats, and those that decompress to floats."""
    package = Package(path)
    for name, function in package.functions.items():
        for block in function.block_specializations.values():
            reader = _Reader(package, _users(block))
            prefix = "" if len(package.functions) == 1 else f"{name}/"
            for stored in reader.block(block):
                yield Stored(**{**vars(stored), "name": prefix + stored.name})


def _users(block: Any) -> dict[str, list[tuple[Any, str]]]:
    """Name of a value to the operations that use it, each with the input that it is."""
    found: dict[str, list[tuple[Any, str]]] = {}
    for op in block.operations:
        for parameter, argument in op.inputs.items():
            for each in argument.arguments:
                if each.WhichOneof("binding") == "name":
                    found.setdefault(each.name, []).append((op, parameter))
        for inner in op.blocks:
            for name, users in _users(inner).items():
                found.setdefault(name, []).extend(users)
    return found


class _Reader:
    """Reads the constants of a function's blocks."""

    def __init__(self, package: Package, users: Users) -> None:
        self._package = package
        self._users = users
        self._held: dict[str, Constant] = {}
        # Of all constants: an epsilon may come after the gain that it belongs to.
        self._values: dict[str, Any] = {}

    def block(self, block: Any) -> Iterator[Stored]:
        """The constants of a block and of those within that an operation uses."""
        self._values |= {
            op.outputs[0].name: op.attributes["val"]
            for op in block.operations
            if op.type == "const"
        }
        for op in block.operations:
            if op.type == "const":
                yield from self._const(op)
            elif op.type.startswith(PREFIX):
                yield from self._compressed(op)
            for inner in op.blocks:
                yield from self.block(inner)

    def _const(self, op: Any) -> Iterator[Stored]:
        name = op.outputs[0].name
        held = read_value(name, op.attributes["val"], self._package.blob)
        self._held[name] = held
        users = self._readers(name)
        if users and held.dtype in FLOATS:
            yield self._stored(name, held.array, FLOATS[held.dtype])

    def _compressed(self, op: Any) -> Iterator[Stored]:
        given = self._given(op)
        arrays = decode(op.type, given)
        for array, output in zip(arrays, op.outputs, strict=True):
            self._held[output.name] = Constant(output.name, tensor_type(output.type).dtype, array)
        name = op.outputs[0].name
        if len(arrays) != 1 or not self._readers(name):
            return  # A part of another one.
        if op.type == AFFINE:
            data = given["quantized_data"].array
            axis = int(given["axis"].array)
            yield self._stored(
                name,
                data,
                given["quantized_data"].dtype.lower(),
                scale=along(given["scale"].array, axis, data.ndim),
                zero_point=along(given["zero_point"].array.astype(np.int16), axis, data.ndim),
            )
        elif op.type == BLOCKS and given["data"].array.dtype.kind in "iu":
            data = given["data"].array
            offset = given.get("offset")
            yield self._stored(
                name,
                data,
                given["data"].dtype.lower(),
                scale=_spread(given["scale"].array, data.shape),
                zero_point=None if offset is None else _spread(offset.array, data.shape),
            )
        elif op.type == CAST:
            yield self._stored(name, given["source_val"].array, "float16")
        else:
            sparse = "sparse" in op.type
            lut = given.get("lut")
            levels = None if lut is None or sparse else int(lut.array.size)
            yield self._stored(name, arrays[0], "sparse" if sparse else "palette", levels=levels)

    def _given(self, op: Any) -> dict[str, Constant]:
        """The inputs and attributes of a compressed constant."""
        given: dict[str, Constant] = {}
        for parameter, argument in op.inputs.items():
            (each,) = argument.arguments
            given[parameter] = (
                self._held[each.name]
                if each.WhichOneof("binding") == "name"
                else read_value(parameter, each.value, self._package.blob)
            )
        for parameter, value in op.attributes.items():
            if parameter != "name":
                given[parameter] = read_value(parameter, value, self._package.blob)
        return given

    def _readers(self, name: str) -> list[tuple[Any, str]]:
        return [
            (op, parameter)
            for op, parameter in self._users.get(name, [])
            if not op.type.startswith(PREFIX)
        ]

    def _stored(self, name: str, values: Array, storage: str, **more: Any) -> Stored:
        users = self._readers(name)
        readers = tuple(
            f"{op.type} {op.outputs[0].name if op.outputs else ''}".strip() for op, _ in users
        )
        lies = {self._lies(op, parameter) for op, parameter in users}
        return Stored(
            name,
            values,
            storage,
            readers=readers,
            orientation=lies.pop() if values.ndim == 2 and len(lies) == 1 else None,
            eps=self._eps(users),
            **more,
        )

    def _eps(self, users: list[tuple[Any, str]]) -> float | None:
        """The epsilon of the one norm whose gain a constant is."""
        if len(users) != 1 or users[0][0].type not in NORMS or users[0][1] != "gamma":
            return None
        given = users[0][0].inputs
        for each in given["epsilon"].arguments if "epsilon" in given else ():
            value = (
                self._values.get(each.name) if each.WhichOneof("binding") == "name" else each.value
            )
            if value is not None:
                return float(read_value(each.name, value, self._package.blob).array)
        return None

    def _lies(self, op: Any, parameter: str) -> str | None:
        """How an operation takes a linear layer's matrix."""
        if MATRICES.get(op.type) != parameter:
            return None
        if op.type == "linear":
            return ROWS
        turned = op.inputs["transpose_y"].arguments if "transpose_y" in op.inputs else ()
        for each in turned:
            held = (
                self._held.get(each.name)
                if each.WhichOneof("binding") == "name"
                else read_value(parameter, each.value, self._package.blob)
            )
            if held is None:
                return None
            return ROWS if bool(held.array) else COLUMNS
        return COLUMNS


def _spread(numbers: Array, shape: tuple[int, ...]) -> Array:
    """Numbers of blocks, repeated so that they broadcast against the elements."""
    for axis, size in enumerate(shape):
        if 1 < numbers.shape[axis] < size:
            numbers = np.repeat(numbers, size // numbers.shape[axis], axis)
    return numbers
