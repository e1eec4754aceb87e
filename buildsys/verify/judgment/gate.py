"""One bound, judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, ClassVar

from buildsys.bounds import BY_NAME, OUTPUT_FLOORS
from buildsys.figures.json_form import Key, optional

GRAPH = "graph_ratio"
"""The error that is left where the original is given the artifact's own rounded weights, in multiples of what
float32 costs the model: what its graph alone is off. It goes with the default bounds."""
UNEXCUSED = ("finite", "shape", "dtype", "weights", GRAPH)
"""Bounds that no recipe sets."""


@dataclass(frozen=True)
class Gate:
    """One bound, judged.

    Attributes:
        bound: The recipe's word; or `finite`, `shape`, `dtype`, `weights`, which hold without being
            asked for.
        output: The output's name, or `None` where the bound is on the artifact.
        limit: The tolerance.
        value: The figure, or `None` where there is none. For `finite`, `shape`, `dtype` and
            `weights`: how many elements, or things, are wrong.
        passed: Whether it holds.
        reason: Why there is no value, what the value counts, or how sure it is.
        at: The sizes of dynamic dims that gave the value, where it is worse than the samples'.
        case: The inputs that gave the value, in words, where these are no samples; see `kit.run.edges`.
        worst: The sample whose error is greatest, counted from 0, where the value is the samples'.
    """

    bound: str
    output: str | None
    limit: float
    value: float | None
    passed: Annotated[bool, Key("pass")]
    reason: str | None = optional()
    at: Mapping[str, int] | None = optional()
    worst: Annotated[int | None, Key("worst_sample")] = optional()
    case: str | None = optional()

    COMPUTED: ClassVar = {"least": float}
    """What JSON has besides."""

    @property
    def least(self) -> float | None:
        """The tightest round limit that the value keeps; of what no limit excuses, `None`."""
        if self.value is None or self.bound in UNEXCUSED:
            return None
        return tightest_limit(self.bound, self.value)

    def to_json(self) -> dict[str, Any]:
        """The gate as `report.json` has it."""
        record: dict[str, Any] = {
            "bound": self.bound,
            "output": self.output,
            "limit": self.limit,
            "value": self.value,
            "pass": self.passed,
        }
        if self.reason is not None:
            record["reason"] = self.reason
        if self.at is not None:
            record["at"] = dict(self.at)
        if self.case is not None:
            record["case"] = self.case
        if not self.passed and self.least is not None:
            record["least"] = self.least
        if self.worst is not None:
            record["worst_sample"] = self.worst
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Gate:
        """A gate of a `report.json`."""
        return cls(
            record["bound"],
            record["output"],
            float(record["limit"]),
            # JSON tells no 0.0 from 0 once a person or another program has written the file again.
            None if record["value"] is None else float(record["value"]),
            record["pass"],
            record.get("reason"),
            record.get("at"),
            record.get("worst_sample"),
            record.get("case"),
        )


def tightest_limit(bound: str, value: float) -> float:
    """The tightest limit of two digits that a value keeps: 0.0371 gives 0.038, of a floor 0.037."""
    # In decimal, as the number is shown: binary steps add up to 0.038000000000000006.
    exact = Decimal(repr(value))
    declared = BY_NAME.get(bound)
    if declared is not None and declared.best is not None:
        best = Decimal(repr(declared.best))
        return float(best - _rounded_up(best - exact))
    return float(-_rounded_up(-exact) if bound in OUTPUT_FLOORS else _rounded_up(exact))


def _rounded_up(value: Decimal) -> Decimal:
    """The next number of two digits: 0.0371 gives 0.038."""
    step = Decimal(1).scaleb(value.adjusted() - 1)
    return (value / step).to_integral_value(ROUND_CEILING) * step if value else value


def bounded(bound: str, output: str | None, limit: float, value: Any, reason: str | None) -> Gate:
    """A gate; the reason is kept where there is no usable value."""
    if value is None or not math.isfinite(value):
        return Gate(bound, output, limit, None, passed=False, reason=reason or "not a number")
    number = float(value)
    passed = number >= limit if bound in OUTPUT_FLOORS else number <= limit
    return Gate(bound, output, limit, number, passed)
