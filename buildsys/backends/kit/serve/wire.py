"""Tensors as JSON, checked against the io contract.

Used here by runtimes, and copied as it stands into what serves over HTTP: it imports nothing of ours.

A tensor is nested lists, a number a scalar. JSON has no word for what is not finite: such numbers are
the strings `NaN`, `Infinity` and `-Infinity`, as protobuf writes them, and no other tokens are taken.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONFINITE = ("NaN", "Infinity", "-Infinity")


class Refused(ValueError):
    """A request that the contract does not allow; the message is for the one who sent it.

    Attributes:
        input: The input at fault, or `None` where it is the request as a whole.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message if name is None else f"input `{name}`: {message}")
        self.input = name


def parse(body: bytes) -> Any:
    """A body as JSON by the letter: tokens such as `NaN` are no JSON.

    Raises:
        Refused: It is none.
    """
    try:
        return json.loads(body, parse_constant=_no_constant)
    except Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}") from error


def _no_constant(token: str) -> Any:
    raise Refused(f'`{token}` is not JSON: send the string "{token}" where the service takes it')


def decode(body: Any, ports: Sequence[Mapping[str, Any]], nonfinite: bool) -> dict[str, Any]:
    """The arrays of a request `{"inputs": {name: nested lists}}`.

    Args:
        body: The request, parsed.
        ports: The inputs: `name`, `shape` (a string is a size that varies), `dtype`, `dims` (the
            `min` and `max` of such sizes) and `range` (of integers, both ends included, or `None`).
        nonfinite: Whether floats may be NaN or infinite.

    Raises:
        Refused: A name, a dtype, a shape or a value is not what the contract says.
    """
    given = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise Refused('the body must be an object: {"inputs": {name: nested lists}}')
    surplus = [key for key in body if key != "inputs"]
    if surplus:
        raise Refused(f"the body takes `inputs` and nothing else: `{surplus[0]}` is unknown")
    names = [port["name"] for port in ports]
    known = ", ".join(f"`{name}`" for name in names)
    for name in given:
        if name not in names:
            raise Refused(f"there is no such input; the model takes {known}", name)
    for name in names:
        if name not in given:
            raise Refused(f"is missing; the model takes {known}", name)
    sizes: dict[str, tuple[int, str]] = {}
    return {port["name"]: _array(given[port["name"]], port, sizes, nonfinite) for port in ports}


def encode(array: NDArray[Any]) -> Any:
    """An array as nested lists; every float keeps its exact value."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _spelled(array.tolist())
    return array.tolist()


def array_of(value: Any, dtype: str) -> NDArray[Any]:
    """An array of what `encode` gave."""
    if np.dtype(dtype).kind == "f":
        return np.array(value, np.float64).astype(dtype)
    return np.array(value, dtype)


def _spelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelled(each) for each in value]
    if value != value:
        return "NaN"
    return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"


def _array(
    value: Any, port: Mapping[str, Any], sizes: dict[str, tuple[int, str]], nonfinite: bool
) -> NDArray[Any]:
    name, dtype = port["name"], np.dtype(port["dtype"])
    shape = _shape(value)
    _check_shape(shape, port, sizes)
    leaves = _leaves(value, shape, name)
    if dtype.kind == "f":
        return _floats(leaves, shape, dtype, name, nonfinite)
    takes: type = bool if dtype.kind == "b" else int
    _check_types(leaves, shape, (takes,), name, dtype)
    if takes is int:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if port.get("range") is not None:
            low, high = max(low, int(port["range"][0])), min(high, int(port["range"][1]))
        for place, leaf in enumerate(leaves):
            if not low <= leaf <= high:
                message = f"{leaf} at {_where(place, shape)} is not within {low}..{high}"
                raise Refused(message, name)
    return np.array(leaves, dtype).reshape(shape)


def _shape(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _check_shape(
    shape: list[int], port: Mapping[str, Any], sizes: dict[str, tuple[int, str]]
) -> None:
    name, wanted = port["name"], port["shape"]
    shown = f"[{', '.join(map(str, wanted))}]"
    if len(shape) != len(wanted):
        raise Refused(f"has {len(shape)} axes, and must have {len(wanted)}: {shown}", name)
    for axis, (have, want) in enumerate(zip(shape, wanted, strict=True)):
        if not isinstance(want, str):
            if have != want:
                raise Refused(f"axis {axis} has the size {have}, and must have {want}", name)
            continue
        least, most = _bounds(port, want)
        if not least <= have <= most:
            message = f"axis {axis} (`{want}`) has the size {have}, and takes {least} to {most}"
            raise Refused(message, name)
        size, other = sizes.setdefault(want, (have, name))
        if size != have:
            raise Refused(f"`{want}` is {have} here and {size} in `{other}`", name)


def _bounds(port: Mapping[str, Any], symbol: str) -> tuple[int, int]:
    dim = port.get("dims", {}).get(symbol)
    return (dim["min"], dim["max"]) if dim else (1, 2**31 - 1)


def _leaves(value: Any, shape: list[int], name: str) -> list[Any]:
    """The numbers of nested lists in order; the first of each level has said how long it is."""
    level = [value]
    for depth, size in enumerate(shape):
        for place, each in enumerate(level):
            if not isinstance(each, list) or len(each) != size:
                have = f"{len(each)} entries" if isinstance(each, list) else "no list"
                at = _where(place, shape[:depth])
                raise Refused(f"is ragged: {have} at {at}, others hold {size}", name)
        level = list(itertools.chain.from_iterable(level))
    return level


def _floats(
    leaves: list[Any], shape: list[int], dtype: np.dtype[Any], name: str, nonfinite: bool
) -> NDArray[Any]:
    if nonfinite:
        leaves = [float(each) if each in NONFINITE else each for each in leaves]
    else:
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, str) and leaf in NONFINITE:
                at = _where(place, shape)
                raise Refused(f"{leaf} at {at}: numbers must be finite", name)
    _check_types(leaves, shape, (float, int), name, dtype)
    try:
        wide = np.array(leaves, np.float64)
    except OverflowError:
        raise Refused(f"holds a number that {dtype} cannot hold", name) from None
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    # A number too large for the dtype, or for JSON's readers (1e999), has become infinite.
    fine = np.isfinite(array)
    if not fine.all():
        for place in np.flatnonzero(~fine).tolist():
            said = isinstance(leaves[place], float) and not np.isfinite(leaves[place])
            if not (nonfinite and said):
                at = _where(place, shape)
                raise Refused(f"the number at {at} is not finite, or too large for {dtype}", name)
    return array.reshape(shape)


def _check_types(
    leaves: list[Any],
    shape: list[int],
    takes: tuple[type, ...],
    name: str,
    dtype: np.dtype[Any],
) -> None:
    if set(map(type, leaves)) <= set(takes):
        return
    place = next(i for i, leaf in enumerate(leaves) if type(leaf) not in takes)
    shown = json.dumps(leaves[place])
    shown = shown if len(shown) <= 40 else shown[:40] + "…"
    raise Refused(f"takes {dtype}, and {shown} at {_where(place, shape)} is not one", name)


def _where(place: int, shape: Sequence[int]) -> str:
    """The index of the leaf at a place, as text; of a scalar, `[]`."""
    index = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        index.append(rest)
    return str(index[::-1])
