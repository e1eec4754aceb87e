"""Optimization profiles: the smallest, the best and the largest shape of each input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..kit.protocol.contract import Contract


@dataclass(frozen=True)
class Span:
    """The shapes that an engine takes for one input, and is fastest at."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    most: tuple[int, ...]


def spans(
    contract: Contract, ports: list[dict[str, Any]], optimize_for: Mapping[str, int]
) -> dict[str, Span]:
    """Input's name to its shapes; a size that is fixed is the same in all three.

    Args:
        contract: The inputs as the model has them.
        ports: The request's ports, which have the ranges of sizes.
        optimize_for: Symbol to the size to be fastest at, in its range; `example` for others.
    """
    dims = {symbol: dim for port in ports for symbol, dim in port["dims"].items()}
    best = {symbol: optimize_for.get(symbol, dim["example"]) for symbol, dim in dims.items()}
    return {
        port.name: Span(
            _filled(port.shape, {s: d["min"] for s, d in dims.items()}),
            _filled(port.shape, best),
            _filled(port.shape, {s: d["max"] for s, d in dims.items()}),
        )
        for port in contract.inputs
    }


def _filled(shape: list[int | str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else sizes[size] for size in shape)
