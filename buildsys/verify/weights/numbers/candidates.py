"""Numbers of the model that a constant may be, by their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.verify.weights.numbers.sampled import Alike

Array = NDArray[Any]


@dataclass
class Candidate:
    """Numbers that may be what is stored, in the order of the model."""

    of: tuple[str, ...]
    values: Array
    slack: Array | float = 0.0
    folded: bool = False


@dataclass(frozen=True)
class Group:
    """Candidates of one shape.

    Attributes:
        candidates: Each of them.
        alike: A few elements of all.
        slack: Of each the most that arithmetic may have taken an element, or `None` where it is none.
    """

    candidates: list[Candidate]
    alike: Alike
    slack: Array | None

    @classmethod
    def of(cls, candidates: list[Candidate]) -> Group:
        """That of some candidates."""
        slack = np.array([float(np.max(one.slack)) for one in candidates])
        alike = Alike([one.values for one in candidates])
        return cls(candidates, alike, slack if slack.any() else None)
