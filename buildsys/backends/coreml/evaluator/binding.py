"""Binds an operation's inputs to its function's parameters, once, when a program is loaded."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Union, get_args, get_origin

import numpy as np
import torch

from ...kit.protocol.request import StepError
from .constants import Constant
from .dtypes import DTYPES
from .registry import (
    Blocks,
    Bools,
    Classes,
    Floats,
    Ints,
    Items,
    Operation,
    Outputs,
    State,
    Tensor,
    Tensors,
)

Source = int | Constant
"""Where a value comes from: a place among the values of a run, or a constant."""
Values = list[Any]
"""The values of a run, by place."""

_SCALARS: dict[Any, Callable[[Any], Any]] = {int: int, float: float, bool: bool}
_SEQUENCES: dict[Any, Callable[[Any], Any]] = {Ints: int, Floats: float, Bools: bool}
_HANDED_ON = (Tensor, State, Items)
"""What a function gets just as it is computed."""


@dataclass(frozen=True)
class Binding:
    """A call that takes what it needs from the values of a run.

    Attributes:
        call: Calls the operation's function.
        places: Where its inputs that are computed lie.
    """

    call: Callable[[], Any]
    places: tuple[int, ...]


def bind(
    operation: Operation,
    given: Mapping[str, Sequence[Source]],
    values: Values,
    outputs: Outputs,
    blocks: tuple[Callable[..., Tensors], ...],
) -> Binding:
    """Makes the call of an operation.

    Args:
        operation: What is called.
        given: Its inputs and attributes by name, each of one or more values.
        values: The values of a run, which the call reads when it is made.
        outputs: The declared types of its results.
        blocks: Its nested blocks.

    Raises:
        StepError: An input is unknown, missing, or not of the kind that the function takes.
    """
    parameters = operation.parameters
    fixed: dict[str, Any] = {}
    direct: dict[str, int] = {}
    readers: dict[str, Callable[[], Any]] = {}
    taken = set()
    for name, parameter in parameters.items():
        kind = _kind(parameter)
        if parameter.annotation == Outputs:
            fixed[name] = outputs
        elif parameter.annotation == Blocks:
            fixed[name], blocks = blocks, ()
        elif name in given:
            taken.add(name)
            sources = given[name]
            if all(isinstance(source, Constant) for source in sources):
                fixed[name] = _constant(name, kind, sources)  # type: ignore[arg-type]
            elif kind in _HANDED_ON and len(sources) == 1:
                direct[name] = sources[0]  # type: ignore[assignment]
            else:
                readers[name] = _reader(name, kind, sources, values)
        elif parameter.default is inspect.Parameter.empty:
            raise StepError(f"the input `{name}` is missing")
    unknown = [name for name in given if name not in taken]
    if unknown:
        raise StepError(f"the input `{unknown[0]}` is not known")
    if blocks:
        raise StepError("it has nested blocks, which it does not take")
    places = (source for sources in given.values() for source in sources if isinstance(source, int))
    return Binding(_call(operation, fixed, direct, readers, values), tuple(dict.fromkeys(places)))


def as_tensor(constant: Constant) -> Tensor:
    """A constant as it is computed with: floats as float32.

    Raises:
        StepError: It is not a number.
    """
    kind = DTYPES[constant.dtype].tensor if constant.dtype in DTYPES else torch.float32
    array = constant.array
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    if array.dtype == np.uint32:
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape)).to(kind)


def _kind(parameter: inspect.Parameter) -> Any:
    """A parameter's annotation without its `| None`."""
    annotation = parameter.annotation
    if get_origin(annotation) in (types.UnionType, Union):
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
    return annotation


def _constant(name: str, kind: Any, sources: Sequence[Constant]) -> Any:
    if kind == Tensors:
        return tuple(as_tensor(source) for source in sources)
    if kind in _SEQUENCES:
        arrays = [_numbers(name, source).reshape(-1).tolist() for source in sources]
        return tuple(_SEQUENCES[kind](each) for each in chain.from_iterable(arrays))
    if len(sources) != 1:
        raise StepError(f"the input `{name}` has {len(sources)} values, and takes one")
    (source,) = sources
    if kind is Tensor:
        return as_tensor(source)
    if kind in _SCALARS:
        array = _numbers(name, source)
        if array.size != 1:
            raise StepError(f"the input `{name}` has {array.size} numbers, and takes one")
        return _SCALARS[kind](array.reshape(-1)[0])
    if kind is str and isinstance(source.value, str):
        return source.value
    if kind is Classes and isinstance(source.value, tuple):
        return Classes(source.value)
    raise StepError(f"the input `{name}` is of type {source.dtype}, which it does not take")


def _numbers(name: str, source: Constant) -> np.ndarray:
    if not isinstance(source.value, np.ndarray):
        raise StepError(f"the input `{name}` is of type {source.dtype}, and takes numbers")
    return source.value


def _reader(name: str, kind: Any, sources: Sequence[Source], values: Values) -> Callable[[], Any]:
    """What reads computed values in the form that a parameter takes."""
    if kind == Tensors:
        if all(isinstance(source, int) for source in sources):
            return lambda: tuple([values[place] for place in sources])  # type: ignore[index]
        held = [as_tensor(s) if isinstance(s, Constant) else s for s in sources]
        return lambda: tuple([values[s] if isinstance(s, int) else s for s in held])
    if kind in _SEQUENCES:
        convert = _SEQUENCES[kind]
        tensors = [as_tensor(s) if isinstance(s, Constant) else s for s in sources]
        return lambda: tuple(
            [
                convert(number)
                for s in tensors
                for number in (values[s] if isinstance(s, int) else s).reshape(-1).tolist()
            ]
        )
    if len(sources) != 1:
        raise StepError(f"the input `{name}` has {len(sources)} values, and takes one")
    (place,) = sources
    if kind in _SCALARS:
        scalar = _SCALARS[kind]
        return lambda: scalar(values[place])  # type: ignore[index]
    raise StepError(f"the input `{name}` is computed, and only a constant is taken")


def _call(
    operation: Operation,
    fixed: Mapping[str, Any],
    direct: Mapping[str, int],
    readers: Mapping[str, Callable[[], Any]],
    values: Values,
) -> Callable[[], Any]:
    """The fastest call that the inputs allow: this runs once an operation and run."""
    function = partial(operation.function, **fixed) if fixed else operation.function
    leading = [
        name
        for name, parameter in operation.parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ][: len(direct)]
    if not readers and leading == list(direct):
        if len(direct) == 1:
            (only,) = direct.values()
            return lambda: function(values[only])
        if len(direct) == 2:
            first, second = direct.values()
            return lambda: function(values[first], values[second])
        places = tuple(direct.values())
        return lambda: function(*[values[place] for place in places])
    given = tuple(direct.items())
    read = tuple(readers.items())
    return lambda: function(
        **{name: values[place] for name, place in given}, **{name: get() for name, get in read}
    )
