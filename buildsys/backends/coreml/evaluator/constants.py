"""Values that a program holds itself, as arrays of their declared type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...kit.protocol.request import StepError
from .dtypes import DTYPES, unpacked
from .messages import dtype_name
from .registry import TensorType

Blob = Callable[[str, int, str, Sequence[int]], np.ndarray]
"""What reads an array of a weight file: the file's name in the program, offset, type, sizes."""

_FIELDS = {
    "BOOL": "bools",
    "FLOAT32": "floats",
    "FLOAT64": "doubles",
    "INT16": "ints",
    "INT32": "ints",
    "INT64": "longInts",
    "UINT16": "ints",
    "UINT64": "longInts",
    "STRING": "strings",
}
"""Where a message keeps the elements of each type; all others are bytes, little-endian."""


@dataclass(frozen=True)
class Constant:
    """A value that is known before the program runs.

    Attributes:
        name: Its name in the program; empty for one that is written in place.
        dtype: The specification's word.
        value: An array of the type's `array`; a string; or a tuple of strings or whole numbers.
    """

    name: str
    dtype: str
    value: np.ndarray | str | tuple[Any, ...]

    @property
    def array(self) -> np.ndarray:
        """The value as an array.

        Raises:
            StepError: It is none.
        """
        if not isinstance(self.value, np.ndarray):
            raise StepError(f"`{self.name}` is of type {self.dtype}, and numbers are needed")
        return self.value


def tensor_type(value_type: Any) -> TensorType:
    """The declared type of a value; sizes that are left open are `None`.

    Types other than those of tensors have the words `LIST`, `DICTIONARY` and `STATE` and no sizes,
    except a state, which has the type of what it keeps.

    Raises:
        StepError: The type is not known.
    """
    kind = value_type.WhichOneof("type")
    if kind == "tensorType":
        tensor = value_type.tensorType
        if any(d.unknown.variadic for d in tensor.dimensions if d.HasField("unknown")):
            raise StepError("a value of any number of axes is declared, which is not evaluated")
        return TensorType(
            dtype_name(tensor.dataType),
            tuple(
                int(d.constant.size) if d.HasField("constant") else None for d in tensor.dimensions
            ),
        )
    if kind == "stateType":
        return tensor_type(value_type.stateType.wrappedType)
    if kind in ("listType", "dictionaryType"):
        return TensorType(kind.removesuffix("Type").upper(), ())
    raise StepError(f"a value of type `{kind}` is declared, which is not evaluated")


def read(name: str, value: Any, blob: Blob) -> Constant:
    """A value of the program's message.

    Args:
        name: Its name, for errors.
        value: `MIL.Value`.
        blob: Reads arrays that lie in a weight file.

    Raises:
        StepError: Its type is not known, or it holds another number of elements than declared.
    """
    if value.type.WhichOneof("type") == "listType":
        items = [read(name, item, blob) for item in value.immediateValue.list.values]
        scalars = [i.value.item() if isinstance(i.value, np.ndarray) else i.value for i in items]
        return Constant(name, items[0].dtype if items else "STRING", tuple(scalars))
    declared = tensor_type(value.type)
    shape = tuple(size for size in declared.shape if size is not None)
    if len(shape) != len(declared.shape):
        raise StepError(f"the constant `{name}` leaves sizes open")
    dtype = declared.dtype
    if dtype != "STRING" and dtype not in DTYPES:
        raise StepError(f"the constant `{name}` is {dtype}, which is not evaluated")
    if value.WhichOneof("value") == "blobFileValue":
        found = value.blobFileValue
        try:
            return Constant(name, dtype, blob(found.fileName, found.offset, dtype, shape))
        except StepError as error:
            raise StepError(f"the constant `{name}`: {error.message}", error.hint) from error
    return Constant(name, dtype, _immediate(name, value.immediateValue.tensor, dtype, shape))


def _immediate(name: str, tensor: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    field, count = _FIELDS.get(dtype, "bytes"), prod(shape)
    held = tensor.WhichOneof("value")
    if held != field and not (held is None and count == 0):
        raise StepError(f"the constant `{name}` is {dtype} and holds its elements as `{held}`")
    values = getattr(tensor, field).values
    if field == "strings":
        words = tuple(str(word) for word in values)
        if len(words) != count:
            raise _wrong_count(name, dtype, shape, len(words))
        return words if shape else words[0]
    kind = DTYPES[dtype]
    if field != "bytes":
        if len(values) != count:
            raise _wrong_count(name, dtype, shape, len(values))
        return np.array(values, dtype=kind.array).reshape(shape)
    if len(values) != -(-count * kind.bits // 8):
        raise _wrong_count(name, dtype, shape, len(values) * 8 // kind.bits)
    packed = np.frombuffer(bytearray(values), np.uint8)
    if kind.bits < 8:
        return unpacked(packed, count, dtype).reshape(shape)
    return packed.view(kind.array).reshape(shape)


def _wrong_count(name: str, dtype: str, shape: tuple[int, ...], found: int) -> StepError:
    return StepError(f"the constant `{name}` is {dtype} {list(shape)} and holds {found} elements")
