"""What a search knows of a candidate, and which candidates no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from buildsys.figures.candidate import Figures
from buildsys.figures.measurement import Measurement

PASSED = "passed"
REJECTED = "rejected"
FAILED = "failed"
RULED_OUT = "ruled out"
REFUSED = "refused"
BUILT = (PASSED, REJECTED, FAILED)


def marked(found: Sequence[Figures], minimize: str) -> list[Figures]:
    """The figures, with those on the Pareto front marked: of size or latency, against the error."""
    points = {f.name: (cost_of(f, minimize), f.error) for f in found if f.status in BUILT}

    def beaten(figures: Figures) -> bool:
        cost, error = points.get(figures.name, (None, None))
        if cost is None or error is None:
            return True
        return any(
            other_cost is not None
            and other_error is not None
            and other_cost <= cost
            and other_error <= error
            and (other_cost, other_error) != (cost, error)
            for other_cost, other_error in points.values()
        )

    return [replace(figures, front=not beaten(figures)) for figures in found]


def cost_of(figures: Figures, minimize: str) -> float | None:
    """What a search makes as small as possible."""
    if minimize == "size":
        return figures.bytes
    # A shared machine slows both down alike.
    return figures.latency_ms if figures.latency_ratio is None else figures.latency_ratio


def worst_error(measurement: Measurement | None) -> float | None:
    """`signal_error` of the output where that is worst; `None` where one is not a number."""
    if measurement is None:
        return None
    errors = [figures.signal_error for figures in measurement.outputs.values()]
    known = [error for error in errors if error is not None]
    return float(max(known)) if known and len(known) == len(errors) else None
