"""The operations of an artifact, each beside the original's that gives the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from buildsys.backends.kit.inspect.probing import Step
from buildsys.verify.localization.equal_values import EqualValues
from buildsys.verify.localization.tensor_matching import compare

WINDOW = 40
"""How many steps of the original after the last that is known a counterpart is looked for."""

LOOSE = 0.9
"""The error below which a tensor behind the fault is still said to be the original's."""


@dataclass
class Row:
    """One operation of the artifact beside what it corresponds to.

    Attributes:
        step: The operation.
        reference: The original's step that gives the same, where one is known.
        error: The error of its first output against that, where both are known.
        largest: The largest finite magnitude of its outputs.
        strays: How many elements of its outputs are not finite.
        explained: Whether its output is the original's, as far as the artifact's precision allows.
    """

    step: Step
    reference: Step | None = None
    error: float | None = None
    largest: float = 0.0
    strays: int = 0
    explained: bool = False


def rows(steps: Sequence[Step], explained: EqualValues) -> list[Row]:
    """A row for each operation, in order."""
    found = [_row(step, explained) for step in steps]
    _guess_rest(found, explained)
    return found


def _row(step: Step, explained: EqualValues) -> Row:
    row = Row(step)
    outputs = [explained.ours[n] for n in step.outputs if n in explained.ours]
    row.strays = sum(t.strays for t in outputs)
    row.largest = max((t.largest for t in outputs), default=0.0)
    for name in step.outputs:
        match = explained.match(name)
        if match is not None:
            row.explained = True
            row.error = match.error
            row.reference = explained.maker(match.name)
            break
    else:
        row.explained = bool(step.outputs) and all(explained.is_neutral(n) for n in step.outputs)
    return row


def _guess_rest(found: Sequence[Row], explained: EqualValues) -> None:
    """Counterparts of what nothing explains: by what comes near in its place."""
    taken = {row.reference.number for row in found if row.reference is not None}
    last = -1
    for row in found:
        if row.reference is not None:
            last = max(last, row.reference.number)
            continue
        if row.explained or not row.step.outputs:
            continue
        near = _nearest(row.step.outputs[0], explained, last, taken)
        if near is None:
            continue
        error, step = near
        row.error = error if math.isfinite(error) else None
        row.reference = step
        taken.add(step.number)
        last = max(last, step.number)


def _nearest(
    name: str, explained: EqualValues, last: int, taken: set[int]
) -> tuple[float, Step] | None:
    tensor = explained.ours.get(name)
    if tensor is None or not tensor.floating:
        return None
    best: tuple[float, Step] | None = None
    for other in explained.of_size(tensor.size):
        step = explained.maker(other.name)
        if step is None or not last < step.number <= last + WINDOW or step.number in taken:
            continue
        if ":" in other.name:
            continue  # A piece of an operator: not what one is looked for by.
        match = compare(tensor, other, LOOSE / 10)
        if match is None:
            continue
        near = match.error if math.isfinite(match.error) else 2 * LOOSE
        if near <= LOOSE and (best is None or near < best[0]):
            best = near, step
    return best
