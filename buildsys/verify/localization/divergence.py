"""Where the computation of an artifact parts from the original's.

What of the artifact is the original's follows from `explained`, which operation is beside which by
`rows`, and which of them is at fault by `attribution`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from buildsys.backends.kit.inspect.probing import Recording, Step
from buildsys.verify.localization.alignment import Row, rows
from buildsys.verify.localization.attribution import Attribution
from buildsys.verify.localization.counterpart import Counterparts
from buildsys.verify.localization.equal_values import EqualValues


@dataclass
class Divergence:
    """What a comparison of two recordings found.

    Attributes:
        rows: One an operation of the artifact, in order.
        at: The operation at fault, or `None`.
        error: The error there, where a tensor of the original is its counterpart.
        before: The largest error of what it takes.
        reference: The original's step that it stands for.
        grew: Whether it was found as the largest growth among explained tensors.
        largest_step: The operation where the error grew most, for what is healthy.
    """

    rows: list[Row] = field(default_factory=list)
    at: Row | None = None
    error: float | None = None
    before: float = 0.0
    reference: Step | None = None
    grew: bool = False
    largest_step: Row | None = None


class Comparison:
    """An artifact's recording against the original's.

    Args:
        artifact: The artifact's.
        original: The original's.
        floor: The error that the artifact's precision alone makes of an operation.
    """

    def __init__(self, artifact: Recording, original: Recording, floor: float) -> None:
        self._artifact = artifact
        self._original = original
        self._explained = EqualValues(artifact, original, floor)

    def part(self, wrong: Sequence[str]) -> Divergence:
        """Finds the place.

        Args:
            wrong: The recipe's outputs that are not the original's; none where it is healthy.
        """
        divergence = Divergence(rows(self._artifact.steps, self._explained))
        divergence.largest_step = self._largest_step(divergence.rows)
        if wrong:
            self._accuse(divergence, wrong)
        return divergence

    def _largest_step(self, table: Sequence[Row]) -> Row | None:
        best, most = None, 0.0
        for row in table:
            if row.error is None or not row.explained:
                continue
            growth = row.error - self._explained.level(row.step.inputs)
            if growth > most:
                best, most = row, growth
        return best

    def _accuse(self, divergence: Divergence, wrong: Sequence[str]) -> None:
        attribution = Attribution(self._artifact, self._original, self._explained, divergence.rows)
        chosen = attribution.first(wrong)
        if chosen is None:
            chosen = attribution.grown(wrong)
            divergence.grew = chosen is not None
        if chosen is None:
            return
        counterparts = Counterparts(self._artifact, self._original, self._explained)
        reference = counterparts.of(chosen.step)
        divergence.at = chosen
        divergence.before = self._explained.level(chosen.step.inputs)
        # What has grown only is beside its counterpart already.
        known = (chosen.reference, reference) if divergence.grew else (reference, chosen.reference)
        divergence.reference = known[0] or known[1]
        divergence.error = chosen.error
        if divergence.error is None and divergence.reference is not None:
            divergence.error = counterparts.error(chosen.step, divergence.reference)

    def largest_without_rounding(self, row: Row, other: Step | None) -> float | None:
        """The largest magnitude that an operation would have given, had nothing overflowed."""
        told = self._artifact.unrounded
        before = [told[n] for n in row.step.outputs if n in told]
        if before:
            return max(before)
        exact, theirs = self._explained.exact, self._explained.theirs
        found = [exact[n].largest for n in row.step.outputs if n in exact]
        if other is not None:
            found += [theirs[n].largest for n in (*other.outputs, *other.inputs) if n in theirs]
            found += [abs(n) for n in other.numbers if math.isfinite(n)]
        return max(found, default=None)

    def rounding_alone(self, row: Row) -> bool:
        """Whether an operation is right where nothing is rounded."""
        exact = [name for name in row.step.outputs if name in self._explained.exact]
        return all(self._explained.right_without_rounding(name) for name in exact)

    def original_strays(self, row: Row, other: Step | None) -> bool:
        """Whether the original has values there that are not finite, as the artifact does."""
        names = list(other.outputs[:1]) if other is not None else []
        theirs = self._explained.theirs
        return any(theirs[n].strays for n in names if n in theirs)
