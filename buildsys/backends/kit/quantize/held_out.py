"""Which of several quantized models errs least, on calibration data that none of them was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..protocol.request import Request

Feed = TypeVar("Feed")
Outputs = Mapping[Any, NDArray[Any]]
"""What one run gave, by whatever names its outputs."""

SHARE = 4
"""One run in so many is held out."""


def split(feeds: Sequence[Feed]) -> tuple[Sequence[Feed], Sequence[Feed], str]:
    """The feeds to calibrate with, those to judge by, and what the latter are, in words.

    One feed alone is both.
    """
    held = max(1, len(feeds) // SHARE) if len(feeds) > 1 else 0
    if not held:
        return feeds, feeds, "the calibration data itself"
    return feeds[:-held], feeds[-held:], f"{held} held-out runs"


def least(errors: Mapping[str, float]) -> str:
    """The name with the least error. A NaN is worse than anything; of equal ones it is the first."""
    return min(errors, key=lambda name: (np.isnan(errors[name]), errors[name]))


def chosen(
    request: Request, errors: Mapping[str, float], data: str, what: str = "signal error"
) -> str:
    """The way to take ranges that errs least; a note names it, and tells what all of them err.

    Args:
        request: Gets the note.
        errors: By way. Equal errors leave the first: that which clips nothing is to stand there.
        data: What they were judged on, as `split` calls it.
        what: What is reported of each.
    """
    best = least(errors)
    told = ", ".join(f"{name} {error:.2g}" for name, error in errors.items())
    request.note(f"ranges of activations by {best}: {what} on {data}: {told}")
    return best


def signal_error(expected: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """The worst output's `||found - expected|| / ||expected - its mean over the runs||`.

    An output that does not vary over the runs is related to its own size instead; outputs of
    integers, whose numbers are no quantities, do not count where there are others.

    Args:
        expected: What the float model gave, a run each.
        found: What a quantized one gave for the same feeds.
    """
    floats = [name for name, a in expected[0].items() if np.issubdtype(a.dtype, np.floating)]
    worst = 0.0
    for name in floats or expected[0]:
        a = np.stack([run[name] for run in expected]).astype(np.float64)
        b = np.stack([run[name] for run in found]).astype(np.float64)
        size = np.linalg.norm(a - a.mean(axis=0)) or np.linalg.norm(a) or 1.0
        error = float(np.linalg.norm(b - a) / size)
        if np.isnan(error):
            return error
        worst = max(worst, error)
    return worst
