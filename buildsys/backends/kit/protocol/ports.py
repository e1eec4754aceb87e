"""Ports in use: arrays between the model's form and the artifact's, and which axes may vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contract import Port
from .request import StepError

Sizes = dict[str, int]
"""Symbol to size."""


def to_artifact(port: Port, array: NDArray[Any]) -> NDArray[Any]:
    """An input of the model as the artifact takes it: its axes permuted, its dtype cast.

    Raises:
        StepError: An integer does not survive the cast.
    """
    if port.permutation is not None:
        array = array.reshape(1) if not port.permutation else array.transpose(port.permutation)
    cast = array.astype(port.dtype, copy=False)
    if np.issubdtype(array.dtype, np.integer) and not np.array_equal(cast, array):
        raise StepError(
            f"values of `{port.name}` do not fit into {port.dtype}, which the artifact takes"
        )
    # `ascontiguousarray` would give an array without axes one.
    return np.asarray(cast, order="C")


def to_model(port: Port, array: NDArray[Any]) -> NDArray[Any]:
    """An output of the artifact with the model's axes; the dtype stays the artifact's."""
    if port.permutation is not None:
        back = np.argsort(port.permutation)
        array = array.transpose(back) if port.permutation else array.reshape(())
    return array


def model_shape(port: Port) -> list[int | str]:
    """The port's sizes in the order of the model's axes."""
    if port.permutation is None:
        return list(port.shape)
    return [port.shape[i] for i in np.argsort(port.permutation)]


def symbols(ports: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Every symbol of the request's ports that may really vary, to its `min`, `max`, `example`."""
    return {
        symbol: dim
        for port in ports
        for symbol, dim in port["dims"].items()
        if dim["min"] < dim["max"]
    }


def example_sizes(ports: Sequence[dict[str, Any]]) -> Sizes:
    """The example size of every symbol."""
    return {s: dim["example"] for port in ports for s, dim in port["dims"].items()}


def concrete(shape: Sequence[int | str], sizes: Sizes) -> list[int]:
    """A shape with its symbols filled in."""
    return [sizes[size] if isinstance(size, str) else size for size in shape]


def random_feed(
    ports: Sequence[dict[str, Any]], sizes: Sizes, seed: int
) -> dict[str, NDArray[Any]]:
    """Random inputs at given sizes: normal, or uniform within a port's range.

    Integers without a range are 0 or 1, which every vocabulary has.
    """
    generator = np.random.default_rng(seed)
    feed: dict[str, NDArray[Any]] = {}
    for port in ports:
        drawn: NDArray[Any]
        shape, dtype = concrete(port["shape"], sizes), np.dtype(port["dtype"])
        if dtype.kind in "biu":
            low, high = port["range"] or (0, 1)
            drawn = generator.integers(int(low), int(high), shape, endpoint=True)
        elif port["range"] is not None:
            drawn = generator.uniform(port["range"][0], port["range"][1], shape)
        else:
            drawn = generator.standard_normal(shape)
        feed[port["name"]] = drawn.astype(dtype)
    return feed


def other_sizes(dim: dict[str, int], size: int) -> list[int]:
    """Sizes within `dim` to try beside `size`, the likeliest to be taken first.

    Models that halve an axis again and again take multiples of a power of two only, hence the list.
    """
    wanted = [size + 1, size - 1, 2 * size, size + 2, size + 4, size + 8, size + 16, size + 32]
    wanted += [dim["min"], size // 2, min(dim["max"], 4 * size)]
    fitting = [n for n in wanted if dim["min"] <= n <= dim["max"] and n != size]
    return list(dict.fromkeys(fitting))


def symbolic(
    base: Sequence[int], base_sizes: Sizes, probes: Mapping[str, tuple[Sequence[int], int]]
) -> list[int | str]:
    """An output's shape with the symbols that its axes follow.

    Args:
        base: Its shape at `base_sizes`.
        base_sizes: Symbol to size.
        probes: Symbol to (the shape with only this symbol changed, the symbol's size then).

    Returns:
        For each axis its size, the symbol that it equals, an expression such as `2*T-4`, or
        `f(T)` where it is not that simple.
    """
    shape: list[int | str] = []
    for axis, size in enumerate(base):
        moved = [s for s, (probed, _) in probes.items() if probed[axis] != size]
        if not moved:
            shape.append(size)
        elif len(moved) > 1:
            shape.append(f"f({','.join(moved)})")
        else:
            probed, probed_size = probes[moved[0]]
            shape.append(_term(moved[0], base_sizes[moved[0]], size, probed_size, probed[axis]))
    return shape


def _term(symbol: str, n1: int, size1: int, n2: int, size2: int) -> str:
    factor, rest = divmod(size2 - size1, n2 - n1)
    if rest:
        return f"f({symbol})"  # Not linear, as after a stride: its value depends on the size.
    offset = size1 - factor * n1
    head = symbol if factor == 1 else f"{factor}*{symbol}"
    return head if offset == 0 else f"{head}{offset:+d}"
