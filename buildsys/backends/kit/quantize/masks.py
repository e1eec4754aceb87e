"""Numbers that no range of integers can hold beside others: the masks of transformers.

A mask is added to what softmax takes, and is minus infinity for what is not to be looked at: the least
float32, -1e9, -10000, -100. Integers whose range goes there have next to none left for the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BIAS = 127
"""What float32 adds to exponents: `BIAS` is that of numbers from 1 to 2."""
ENDLESS = BIAS + 100
"""From 2^100, about 1e30, on: no scale can stand for it, whatever the others are."""
LEAST = BIAS + 6
"""A mask is 64 or more; what lies apart below is an outlier, and left to calibration."""
EMPTY = 2
"""So many octaves hold nothing, below the two that the mask is in, so that the others are an eighth of it
at most: asymmetric int8 has no more than 64 numbers for them, and symmetric 32."""


class Magnitudes:
    """How many of a tensor's numbers have each magnitude, over all runs.

    Attributes:
        counts: [256]: by float32's exponent; 0 is zero, 255 infinity.
    """

    def __init__(self) -> None:
        """None so far."""
        self.counts = np.zeros(256, np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Counts the numbers of a run; a NaN counts as nothing."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        self.counts += np.bincount((flat.view(np.uint32) >> 23) & 255, minlength=256)
        if self.counts[-1]:
            self.counts[-1] -= int(np.isnan(flat).sum())

    @property
    def masked(self) -> bool:
        """Whether there is a mask among the numbers, and others that its integers would lose.

        Of zeros and a mask nothing is lost, as long as the mask has an end.
        """
        (found,) = np.nonzero(self.counts[1:])
        if not found.size:
            return False
        exponents = found + 1
        greatest = int(exponents[-1])
        if greatest >= ENDLESS:
            return True
        others = exponents[exponents < greatest - 1]
        return bool(greatest >= LEAST and others.size and others[-1] < greatest - 1 - EMPTY)


def note(count: int, name: str) -> str:
    """What is reported of operators that stay as they are, one of whose numbers are those of `name`."""
    return (
        f"{count} operator{'s' * (count != 1)} stay{'s' * (count == 1)} in float: there is a mask among "
        f"their numbers, as among those of `{name}`, and integers that reach so far have too few left "
        "for the others"
    )
