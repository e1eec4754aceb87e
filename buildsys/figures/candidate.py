"""What a search knows of a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from buildsys.figures.json_form import optional


@dataclass(frozen=True)
class Figures:
    """A candidate after a search.

    Attributes:
        name: Its name.
        status: `passed` or `rejected` by what the search is subject to, `failed` to build, `ruled out`
            by what another one showed, or `refused` by the format.
        bytes: Size of the artifact.
        error: `signal_error` of the worst output; `None` where it is not a number.
        metric: The task's metric.
        latency_ms: The median latency.
        latency_ratio: The same relative to the float artifact's, run in turns with it.
        reason: Why it did not pass.
        front: Whether no other built candidate is both smaller (or faster) and errs less.
    """

    name: str
    status: str
    bytes: int | None = optional()
    error: float | None = optional()
    metric: float | None = optional()
    latency_ms: float | None = optional()
    latency_ratio: float | None = optional()
    reason: str | None = optional()
    front: bool = optional(False)

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


@dataclass(frozen=True)
class Choice:
    """What a search chose, and from what, as an entry of `report.json` has it.

    Attributes:
        profile: The profile that was chosen.
        candidates: What was chosen from.
        built: How many candidates were built.
        float_bytes: Size of the float artifact.
    """

    profile: str
    candidates: tuple[Figures, ...]
    built: int | None = None
    float_bytes: int | None = None
