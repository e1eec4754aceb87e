"""The kinds of faults, by name, each with what finds its places in a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from benchmarks.faults import graph_faults, weight_faults
from benchmarks.faults.graph import Graph, Spot

Find = Callable[[Graph, np.random.Generator], Iterator[Spot]]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: Its name in tables and results.
        means: What is wrong then, in a few words.
        find: Gives the places where it can be.
        stored: Whether it changes nothing but stored numbers.
    """

    name: str
    means: str
    find: Find
    stored: bool = True


def _bits(part: str) -> Find:
    return partial(weight_faults.flipped, part=part)


def _zero(part: str) -> Find:
    return partial(weight_faults.zeroed, part=part)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("transposed weight", "two axes swapped, the shape kept", weight_faults.transposed),
            Kind(
                "transposed activation", "flattened in another order", graph_faults.flattened, False
            ),
            Kind("swapped channels", "two channels of a weight", weight_faults.channels),
            Kind("dropped bias", "it is not added", weight_faults.dropped_bias),
            Kind("wrong eps", "another framework's default", graph_faults.wrong_epsilon, False),
            Kind(
                "swapped operand",
                "of a difference, quotient, product of matrices or concatenation",
                graph_faults.swapped_operands,
                False,
            ),
            Kind("wrong pad", "as much, one element beside", graph_faults.wrong_pad, False),
            Kind("permuted gate", "two gates of an LSTM or GRU", weight_faults.gates),
            Kind("off-by-one slice", "as long, one element beside", graph_faults.off_by_one, False),
            Kind(
                "saturated scale", "an eighth, so that values are cut off", weight_faults.saturated
            ),
            Kind("zeroed element", "of a weight", _zero("element")),
            Kind("zeroed row", "of a weight", _zero("row")),
            Kind("zeroed tensor", "a whole weight", _zero("tensor")),
            Kind("flipped low bit", "the lowest third of a mantissa", _bits("low")),
            Kind("flipped middle bit", "the middle third", _bits("middle")),
            Kind("flipped high bit", "the highest third", _bits("high")),
            Kind("flipped sign", "of one element", _bits("sign")),
            Kind("wrong activation", "one that looks alike", graph_faults.wrong_activation, False),
            Kind(
                "outputs swapped",
                "each under the other's name",
                graph_faults.swapped_outputs,
                False,
            ),
            Kind("NaN from masks", "−∞ in a mask, a guard lost", graph_faults.nan_masks, False),
            Kind(
                "stale weights, another seed",
                "all weights of another training",
                partial(weight_faults.stale, noise=weight_faults.SEED_NOISE),
            ),
            Kind(
                "stale weights, an epoch ago",
                "all weights 1 % away",
                partial(weight_faults.stale, noise=weight_faults.EPOCH_NOISE),
            ),
        )
    }
)
