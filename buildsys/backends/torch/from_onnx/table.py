"""The table of ONNX operators, each with the function that computes it by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = tuple[Any, ...]


class Unsupported(Exception):
    """An operator, or a use of it, that has no counterpart here; the message goes to the user."""


@dataclass(frozen=True)
class Call:
    """A node of an ONNX graph, as the function that computes it sees it.

    Attributes:
        kind: The operator's name.
        opset: The version of the standard operators.
        attributes: Its attributes, as Python values; tensors as arrays.
        outputs: How many of its outputs are used, counted to the last one.
        static: The arguments that decide sizes and axes, by their place; as arrays.
    """

    kind: str
    opset: int
    attributes: Mapping[str, Any]
    outputs: int
    static: Mapping[int, Array]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default where the node has it not."""
        return self.attributes.get(name, default)

    def text(self, name: str, default: str) -> str:
        """An attribute that is a string."""
        found = self.attributes.get(name)
        return default if found is None else bytes(found).decode()

    def list(self, place: int, name: str | None = None) -> list[Any] | None:
        """Numbers that an argument gives, or that an attribute of older versions gave; else `None`."""
        if place in self.static:
            return list(np.asarray(self.static[place]).reshape(-1).tolist())
        found = self.attributes.get(name) if name is not None else None
        return None if found is None else list(found)


@dataclass(frozen=True)
class Operator:
    """How an operator is computed.

    Attributes:
        run: Computes it: `run(call, *tensors)`, with `None` for arguments that are left out or static.
        static: Places of arguments that have to be known beforehand.
        prepare: Rewrites the weights of a call, `prepare(call, *tensors)`, from the place `weights` on;
            that is done once where they are known.
        weights: The place of the first argument that `prepare` takes.
    """

    run: Callable[..., Any]
    static: tuple[int, ...] = ()
    prepare: Callable[..., Tensors] | None = None
    weights: int = 0


OPERATORS: dict[str, Operator] = {}
"""By the name of the ONNX operator."""

Function = Callable[..., Any]


def operator(
    *kinds: str,
    static: tuple[int, ...] = (),
    prepare: Callable[..., Tensors] | None = None,
    weights: int = 0,
) -> Callable[[Function], Function]:
    """Enters a function into the table, for one or more operators."""

    def enter(run: Function) -> Function:
        for kind in kinds:
            OPERATORS[kind] = Operator(run, static, prepare, weights)
        return run

    return enter


def simple(functions: Mapping[str, Function]) -> None:
    """Enters operators that torch has as a function of the same tensors."""
    for kind, function in functions.items():
        OPERATORS[kind] = Operator(lambda call, *tensors, _of=function: _of(*tensors))


def dtype_of(number: int) -> torch.dtype:
    """The torch dtype of ONNX's number for an element type.

    Raises:
        Unsupported: Torch has none.
    """
    found = _DTYPES.get(number)
    if found is None:
        raise Unsupported(f"torch has no element type for ONNX's number {number}")
    return found


_DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
