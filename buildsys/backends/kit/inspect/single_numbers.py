"""Single numbers that an artifact keeps in float16, and the numbers of a model's code that they were.

A converter makes constants of the scalars that a model's code says: the divisor of attention's scores, the
epsilon of a norm. It may keep the number, or one over it, and rounds it, an epsilon not below the least
number of float16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

NAME = "single numbers"
"""Where a file of weights has them: no weight is called so."""
ROUNDED = 2.0**-11 * 1.01
"""How far rounding to float16 takes a number, relative."""
LEAST = 2.0**-24 * 1.01
"""The least number of float16: an epsilon below it becomes this one."""


class SingleNumbers:
    """Finds the scalars of a model's code that an artifact's numbers were.

    A number that two scalars of the code could have become, or a scalar that could be two of the numbers,
    tells nothing: the number is then one that no scalar was.

    Args:
        numbers: The artifact's; those that are not finite are nobody's.
    """

    def __init__(self, numbers: Sequence[float]) -> None:
        self._numbers = [float(number) for number in numbers]
        self._scalars: dict[float, set[float]] = {}
        self._given: set[float] = set()

    def held(self, scalar: float) -> float | None:
        """What the artifact holds of a scalar, in its place; `None` where it holds nothing else."""
        if not scalar or not math.isfinite(scalar) or scalar in self._given:
            return None
        found: dict[float, float] = {}
        for number in self._numbers:
            if abs(number - scalar) <= max(ROUNDED * abs(scalar), LEAST):
                found[number] = number
            # One over a number is reckoned of what was rounded before, and rounded again.
            elif number and abs(number * scalar - 1) <= 2 * ROUNDED:
                found[number] = 1 / number
            # Attention may multiply each of two factors with the root of its scale.
            elif abs(number - scalar * scalar) <= ROUNDED * scalar * scalar:
                self._scalars.setdefault(number, set()).update((scalar, -scalar))
        for number in found:
            self._scalars.setdefault(number, set()).add(scalar)
        if len(found) != 1:
            for number in found:
                self._scalars[number].add(-scalar)
            return None
        (held,) = found.values()
        self._given |= {held, math.sqrt(abs(held))}
        return held

    def others(self) -> list[int]:
        """The places of the numbers that no scalar was, as far as scalars have been asked for."""
        return [
            place
            for place, number in enumerate(self._numbers)
            if len(self._scalars.get(number, ())) != 1
        ]
