"""The recipe's tolerances applied to a measurement: pass or fail, bound by bound.

Pure, cheap, and never cached: an edited tolerance judges anew what was measured before. A gate passes
only where a finite number is on the right side of its limit; what was not measured, or is not a
number, fails and says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from buildsys.verify.direction import better

OUTPUT_CEILINGS = ("signal_error", "max_abs", "max_rel", "mean_abs", "rmse")
"""Upper bounds, judged output by output."""

OUTPUT_FLOORS = ("cosine", "sqnr_db", "top1_agreement")
"""Lower bounds, judged output by output."""

ARTIFACT_CEILINGS = ("metric_drop", "size_ratio", "latency_ratio")
"""Upper bounds on the artifact as a whole."""


@dataclass(frozen=True)
class Gate:
    """One bound, judged.

    Attributes:
        bound: The recipe's word; or `finite`, `shape`, `dtype`, which hold without being asked for.
        output: The output's name, or `None` where the bound is on the artifact.
        limit: The tolerance.
        value: The figure, or `None` where there is none. For `finite`, `shape` and `dtype`: how
            many elements, or things, are wrong.
        passed: Whether it holds.
        reason: Why there is no value, or what the value counts.
        at: The sizes of dynamic dims that gave the value, where it is worse than the samples'.
    """

    bound: str
    output: str | None
    limit: float
    value: float | None
    passed: bool
    reason: str | None = None
    at: Mapping[str, int] | None = None

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
        return record


def judge(
    measurement: Mapping[str, Any] | None,
    bounds: Mapping[str, float],
    *,
    bytes: int,
    baseline_bytes: int | None,
    latency_ratio: float | None,
) -> tuple[Gate, ...]:
    """Judges an artifact.

    Args:
        measurement: As in `measurement.json`, or `None` where nothing ran the artifact.
        bounds: Limit by name.
        bytes: The artifact's size.
        baseline_bytes: The size of the unquantized artifact of the same format, where there is one.
        latency_ratio: Median latency relative to that artifact's, where both were measured.

    Returns:
        Finite values, shape and type of each output, then the bounds in the recipe's order.

    Raises:
        ValueError: A bound has a name that is not known.
    """
    outputs: Mapping[str, Mapping[str, Any]] = measurement["outputs"] if measurement else {}
    gates = [gate for name, figures in outputs.items() for gate in _intact(name, figures)]
    for bound, limit in bounds.items():
        if bound in OUTPUT_CEILINGS + OUTPUT_FLOORS:
            gates += _output_gates(bound, limit, outputs)
        elif bound in ARTIFACT_CEILINGS:
            value, reason = _artifact_value(
                bound, measurement, bytes, baseline_bytes, latency_ratio
            )
            gates.append(_bounded(bound, None, limit, value, reason))
        else:
            raise ValueError(f"there is no bound named {bound!r}")
    return tuple(_worst_over_sizes(gates, measurement, bounds))


def _worst_over_sizes(
    gates: list[Gate], measurement: Mapping[str, Any] | None, bounds: Mapping[str, float]
) -> Iterator[Gate]:
    """Each gate as it is at the worst of the sizes that were run."""
    elsewhere: dict[tuple[str, str | None], list[Gate]] = {}
    for extreme in measurement.get("extremes", ()) if measurement else ():
        outputs: Mapping[str, Mapping[str, Any]] = extreme["outputs"]
        found = [gate for name, figures in outputs.items() for gate in _intact(name, figures)]
        for bound, limit in bounds.items():
            if outputs and bound in OUTPUT_CEILINGS + OUTPUT_FLOORS:
                found += _output_gates(bound, limit, outputs)
        for gate in found:
            there = replace(gate, at=extreme["at"])
            elsewhere.setdefault((gate.bound, gate.output), []).append(there)
    for gate in gates:
        # The first of equals: sizes are named only where they matter.
        yield min([gate, *elsewhere.get((gate.bound, gate.output), ())], key=_badness)


def _badness(gate: Gate) -> tuple[bool, bool, float]:
    """A key by which the worst gate comes first."""
    if gate.value is None:
        return gate.passed, False, 0.0
    return gate.passed, True, gate.value if gate.bound in OUTPUT_FLOORS else -gate.value


def _bounded(bound: str, output: str | None, limit: float, value: Any, reason: str | None) -> Gate:
    """A gate; the reason is kept where there is no usable value."""
    if value is None or not math.isfinite(value):
        return Gate(bound, output, limit, None, passed=False, reason=reason or "not a number")
    number = float(value)
    passed = number >= limit if bound in OUTPUT_FLOORS else number <= limit
    return Gate(bound, output, limit, number, passed)


def _intact(output: str, figures: Mapping[str, Any]) -> Iterator[Gate]:
    """What no tolerance excuses."""
    strays = figures["nonfinite_mismatch"]
    comparable = figures["shape_match"]
    if not comparable:
        # Element by element there is nothing to agree with: every NaN or infinity is a stray.
        strays = figures["nan_count"] + figures["inf_count"]
    yield Gate(
        "finite",
        output,
        0.0,
        float(strays),
        passed=strays == 0,
        reason=_strays(figures) if strays else None,
    )
    for bound, said in (("shape", "shape"), ("dtype", "type")):
        if figures[f"{bound}_match"] is True:
            yield Gate(bound, output, 0.0, 0.0, passed=True)
        else:
            reason = (
                f"the {said} is {figures[bound]}, the original's is {figures[f'reference_{bound}']}"
            )
            yield Gate(bound, output, 0.0, None, passed=False, reason=reason)


def _strays(figures: Mapping[str, Any]) -> str:
    return (
        f"NaN or infinite where the original is not the same; "
        f"in all {figures['nan_count']} NaN, {figures['inf_count']} infinite"
    )


def _output_gates(bound: str, limit: float, outputs: Mapping[str, Mapping[str, Any]]) -> list[Gate]:
    """The bound on each output that it means something for."""
    if not outputs:
        return [_bounded(bound, None, limit, None, "the artifact was not run")]
    gates = [
        _bounded(bound, name, limit, figures[bound], _missing(bound, figures))
        for name, figures in outputs.items()
        if bound != "top1_agreement" or not _without_classes(figures)
    ]
    if not gates:
        return [_bounded(bound, None, limit, None, "no output has scores of two classes or more")]
    return gates


def _without_classes(figures: Mapping[str, Any]) -> bool:
    comparable = figures["shape_match"] and not figures["nonfinite_mismatch"]
    return bool(comparable) and figures["top1_agreement"] is None


def _missing(bound: str, figures: Mapping[str, Any]) -> str:
    if not figures["shape_match"]:
        return "the shapes differ"
    if figures["nonfinite_mismatch"]:
        return f"{figures['nonfinite_mismatch']} elements are {_strays(figures)}"
    return "beyond what a float64 can hold"


def _artifact_value(
    bound: str,
    measurement: Mapping[str, Any] | None,
    size: int,
    baseline_size: int | None,
    latency_ratio: float | None,
) -> tuple[float | None, str | None]:
    """The value of a bound on the whole artifact, or why there is none."""
    if bound == "metric_drop":
        return _metric_drop(measurement)
    if bound == "latency_ratio":
        return latency_ratio, "there is no latency of an unquantized artifact to compare with"
    if not baseline_size:
        return None, "there is no unquantized artifact of this format to compare with"
    return size / baseline_size, None


def _metric_drop(measurement: Mapping[str, Any] | None) -> tuple[float | None, str | None]:
    if measurement is None:
        return None, "the artifact was not run"
    metric = measurement["metric"]
    if metric is None:
        return None, "the model has no `evaluate`: give it a dataset and a metric"
    value, reference = metric["value"], metric["reference"]
    for number, whose in ((value, "the artifact"), (reference, "the original model")):
        if number is None:
            return None, f"the metric of {whose} is not a number"
    drop = reference - value if better(metric["name"]) == "higher" else value - reference
    return drop, "beyond what a float64 can hold"
