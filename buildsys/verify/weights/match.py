"""What a constant of an artifact is, as far as the model's weights tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Stored
from buildsys.verify.weights.numbers.agreement import FLOATS
from buildsys.verify.weights.numbers.proportion import telling

Array = NDArray[Any]

EXACT, ROUNDED, QUANTIZED = "exact", "rounded", "quantized"
REARRANGED, FOLDED = "rearranged", "folded"
ALTERED, UNEXPLAINED = "altered", "unexplained"

NEARLY = 0.8
"""The part of all elements that must agree for what remains to be altered, and not another tensor."""
FEW = 0.02
"""The part of quantized elements that may be wrong for them to be altered: else the rule is another."""
FEWEST = 3
"""Elements that a tensor has at least where one of them can be told to be altered."""
MOST_KEPT = 64
"""Altered elements that are kept of a tensor."""


@dataclass(frozen=True)
class Match:
    """What a constant is.

    Attributes:
        kind: `exact`, `rounded`, `quantized`, `rearranged`, `folded`, `altered` or `unexplained`.
        of: The weights that it is made of; a part of one as `NAME[FROM:TO]`.
        places: Of altered elements: their places in the flattened constant.
        expected: The numbers that belong there.
        count: How many are altered, of which `places` may hold some only.
        why: What is wrong, in words.
        sure: Whether every number is what is known to belong there; False where a quantizer's rule or a
            constant that was multiplied in had to be supposed.
    """

    kind: str
    of: tuple[str, ...] = ()
    places: Sequence[int] = ()
    expected: Sequence[float] = ()
    count: int = 0
    why: str = ""
    sure: bool = True


def altered(of: tuple[str, ...], wrong: Array, expected: Array) -> Match:
    """A constant with some elements that are not the weight's: their places, and what belongs there."""
    count = len(wrong)
    return Match(
        ALTERED,
        of,
        [int(place) for place in wrong[:MOST_KEPT]],
        [float(number) for number in expected[:MOST_KEPT]],
        count,
        f"{count} element{'s' * (count != 1)} of it {'are' if count != 1 else 'is'} not the weight's",
    )


def outcome(stored: Stored, of: tuple[str, ...], right: Array, expected: Array) -> Match | None:
    """What a constant is of which most elements are as expected; `None` where too few are."""
    wrong = np.flatnonzero(~right)
    if not len(wrong):
        return Match(FOLDED, of)
    one_off = len(wrong) == 1 and right.size >= FEWEST
    if not (right.mean() >= NEARLY or one_off):
        return None
    if not telling(stored.decoded.reshape(-1)[right]):
        return None
    if stored.storage in FLOATS or one_off or len(wrong) <= FEW * right.size:
        return altered(of, wrong, expected[wrong])
    if _confined(wrong, stored.values.shape):
        return altered(of, wrong, expected[wrong])
    # Errors all over it: the quantizer chose its integers by another rule.
    return Match(QUANTIZED, of, sure=False)


def _confined(wrong: Array, shape: tuple[int, ...]) -> bool:
    """Whether all that is wrong lies in a few channels."""
    index = np.unravel_index(wrong, shape)
    return any(
        size > 1 and len(np.unique(places)) <= max(1, (1 - NEARLY) * size)
        for size, places in zip(shape, index, strict=True)
    )
