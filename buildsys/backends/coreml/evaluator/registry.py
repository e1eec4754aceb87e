"""The operations that can be evaluated, each declared by the signature of its function.

A parameter's name is the operation's input or attribute, its default is the default of the
operation's documentation, and its annotation says what the function gets:

    Tensor             a torch tensor: floats always as float32 (whatever their declared type),
                       whole numbers and booleans in their own type
    int, float, bool, str     a Python value, of a constant or a computed tensor of one element
    Ints, Floats, Bools       a tuple of them, of a tensor of one axis
    Tensors            a tuple of tensors: an input that takes several values
    Blocks             nested blocks, each callable with tensors
    State, Items       what a state keeps, and a list of tensors
    Classes            names of classes, all strings or all whole numbers
    ... | None         may be absent

A keyword-only parameter `out: Outputs` gets the declared types of the results. A function returns a
tensor, or a tuple of them. An input that the signature does not name is an error when the program is
loaded, never passed over.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import torch

Tensor: TypeAlias = torch.Tensor
Tensors = tuple[torch.Tensor, ...]
Ints = tuple[int, ...]
Floats = tuple[float, ...]
Bools = tuple[bool, ...]


@dataclass(frozen=True)
class TensorType:
    """A declared type.

    Attributes:
        dtype: The specification's word: `FLOAT16`, `FLOAT32`, `INT32`, `BOOL`, `UINT8`, `INT4`, `STRING`, …
        shape: Sizes; `None` where a size is not declared.
    """

    dtype: str
    shape: tuple[int | None, ...]


class State:
    """What a state keeps between runs.

    Attributes:
        tensor: Its value; it is replaced, never changed in place.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@dataclass(frozen=True)
class Items:
    """A list of tensors; operations give a new one.

    Attributes:
        tensors: One a place.
        empty: What a place holds that nothing was written to: zeros (coremltools' tests); `None` where
            the sizes are not declared.
    """

    tensors: tuple[Tensor | None, ...]
    empty: Tensor | None = None


@dataclass(frozen=True)
class Classes:
    """Names of classes, in the order of the model's last axis."""

    names: tuple[str, ...] | tuple[int, ...]


Outputs = tuple[TensorType, ...]
Blocks = tuple[Callable[..., Tensors], ...]


@dataclass(frozen=True)
class Operation:
    """An operation that can be evaluated.

    Attributes:
        name: The specification's word, for example `conv`.
        function: What computes it.
        parameters: Its inputs and attributes, by name.
    """

    name: str
    function: Callable[..., Any]
    parameters: Mapping[str, inspect.Parameter]


_REGISTERED: dict[str, Operation] = {}
REGISTERED: Mapping[str, Operation] = MappingProxyType(_REGISTERED)
"""All operations by name."""


def operation(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function as the meaning of one or more operations."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(function, eval_str=True).parameters
        for name in names:
            if name in _REGISTERED:
                raise ValueError(f"the operation {name} is defined twice")
            _REGISTERED[name] = Operation(name, function, MappingProxyType(dict(parameters)))
        return function

    return register
