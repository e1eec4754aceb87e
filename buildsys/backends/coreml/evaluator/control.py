"""Operations that branch, loop, keep state, hold lists, or name classes."""

from __future__ import annotations

import torch

from ...kit.protocol.request import StepError
from .registry import Blocks, Classes, Ints, Items, State, Tensor, Tensors, operation

_ELEMENTS = {
    "bool": torch.bool,
    "fp16": torch.float32,
    "fp32": torch.float32,
    "int32": torch.int32,
}
"""By the word of `make_list`; floats are always computed with as float32."""


@operation("cond")
def cond(pred: bool, blocks: Blocks) -> Tensors:
    """The results of the first block where `pred` holds, of the second otherwise."""
    then, otherwise = blocks
    return then() if pred else otherwise()


@operation("while_loop")
def while_loop(loop_vars: Tensors, blocks: Blocks) -> Tensors:
    """Runs the second block again and again, while the first gives true for the same values."""
    test, body = blocks
    while bool(test(*loop_vars)[0]):
        loop_vars = body(*loop_vars)
    return loop_vars


@operation("read_state")
def read_state(input: State) -> Tensor:
    """What a state keeps."""
    return input.tensor


@operation("write_state")
def write_state(input: State, data: Tensor) -> Tensors:
    """Replaces what a state keeps; it has no results."""
    input.tensor = data
    return ()


@operation("coreml_update_state")
def coreml_update_state(state: State, value: Tensor) -> Tensor:
    """Replaces what a state keeps and gives it."""
    state.tensor = value
    return value


@operation("make_list")
def make_list(
    elem_shape: Ints, init_length: int = 1, dynamic_length: bool = True, dtype: str = "fp32"
) -> Items:
    """A list of places that nothing is written to yet: they hold zeros."""
    open_sizes = any(size < 0 for size in elem_shape)
    empty = None if open_sizes else torch.zeros(elem_shape, dtype=_ELEMENTS[dtype])
    return Items((empty,) * init_length, empty)


@operation("list_length")
def list_length(ls: Items) -> Tensor:
    """How many places a list has, [] of int32."""
    return torch.tensor(len(ls.tensors), dtype=torch.int32)


@operation("list_write")
def list_write(ls: Items, index: int, value: Tensor) -> Items:
    """A list with one place replaced; it grows up to that place."""
    return _written(ls, (index,), (value,))


@operation("list_read")
def list_read(ls: Items, index: int) -> Tensor:
    """One place of a list."""
    return _read(ls, index)


@operation("list_gather")
def list_gather(ls: Items, indices: Ints) -> Tensor:
    """Several places of a list, stacked along a new first axis."""
    return torch.stack([_read(ls, index) for index in indices])


@operation("list_scatter")
def list_scatter(ls: Items, indices: Ints, value: Tensor) -> Items:
    """A list with several places replaced by the rows of `value`."""
    return _written(ls, indices, tuple(value))


@operation("classify")
def classify(probabilities: Tensor, classes: Classes) -> tuple[str | int, dict[str | int, float]]:
    """The best class, the first of equals, and a dictionary from class to probability.

    Raises:
        StepError: There are more or fewer classes than numbers.
    """
    numbers = probabilities.reshape(-1).tolist()
    if len(numbers) != len(classes.names):
        raise StepError(
            f"{len(classes.names)} classes are named, and there are {len(numbers)} numbers"
        )
    named: dict[str | int, float] = dict(zip(classes.names, numbers, strict=True))
    return classes.names[int(probabilities.reshape(-1).argmax())], named


def _read(items: Items, index: int) -> Tensor:
    place = index + len(items.tensors) if index < 0 else index
    found = items.tensors[place] if 0 <= place < len(items.tensors) else None
    if found is None:
        raise StepError(
            f"place {index} of a list of {len(items.tensors)} is read before it is written"
        )
    return found


def _written(items: Items, indices: Ints, values: Tensors) -> Items:
    places = list(items.tensors)
    for index, value in zip(indices, values, strict=True):
        if index < 0:
            raise StepError(f"place {index} of a list is written to")
        places += [items.empty] * (index + 1 - len(places))
        places[index] = value
    return Items(tuple(places), items.empty)
