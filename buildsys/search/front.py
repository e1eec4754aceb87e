"""What a search knows of a candidate, and which candidates no other one beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

PASSED = "passed"
REJECTED = "rejected"
FAILED = "failed"
RULED_OUT = "ruled out"
REFUSED = "refused"
BUILT = (PASSED, REJECTED, FAILED)


@dataclass(frozen=True)
class Figures:
    """A candidate after a search.

    Attributes:
        name: Its name.
        status: `passed` or `rejected` by what the search is subject to, `failed` to build, `ruled out`
            by what another one showed, or `refused` by the format.
        bytes: Size of the artifact.
        error: `signal_error` of the worst output; `None` where it is no number.
        metric: The task's metric.
        latency_ms: The median latency.
        latency_ratio: The same relative to the float artifact's, run in turns with it.
        reason: Why it did not pass.
        front: Whether no other built candidate is both smaller (or faster) and errs less.
    """

    name: str
    status: str
    bytes: int | None = None
    error: float | None = None
    metric: float | None = None
    latency_ms: float | None = None
    latency_ratio: float | None = None
    reason: str | None = None
    front: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data, without what is not known."""
        record: dict[str, Any] = {"name": self.name, "status": self.status}
        for name in ("bytes", "error", "metric", "latency_ms", "latency_ratio", "reason"):
            value = getattr(self, name)
            if value is not None:
                # As many digits as mean something; a lock is read by people.
                record[name] = float(f"{value:.6g}") if isinstance(value, float) else value
        if self.front:
            record["front"] = True
        return record


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


def worst_error(measurement: Mapping[str, Any] | None) -> float | None:
    """`signal_error` of the output where that is worst; `None` where one is no number."""
    if measurement is None:
        return None
    errors = [figures["signal_error"] for figures in measurement["outputs"].values()]
    return None if not errors or None in errors else float(max(errors))
