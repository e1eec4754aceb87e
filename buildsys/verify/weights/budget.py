"""How much work the search for matches may take, counted in elements that are looked at.

A count gives the same answer on any machine and under any load, as seconds would not. What is not explained
when it is spent is reported as not traced, and the outputs alone tell whether it is right.
"""

from __future__ import annotations

from dataclasses import dataclass

ELEMENTS = 600_000_000
"""Elements that may be looked at: some ten seconds of one core."""


@dataclass
class Budget:
    """What is left of it.

    Attributes:
        left: Elements that may still be looked at.
        untried: Constants that were not searched for, since nothing was left.
    """

    left: int = ELEMENTS
    untried: int = 0

    def spend(self, elements: int) -> None:
        """Takes note of elements that were looked at."""
        self.left -= elements

    def refuses(self) -> bool:
        """Whether nothing is left; then the constant that asks counts as not tried."""
        self.untried += self.left <= 0
        return self.left <= 0
