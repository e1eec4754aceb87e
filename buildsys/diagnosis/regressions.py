"""The recipe's bounds on what a release may be worse by than the one before it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from buildsys.backends.kit.tasks.direction import better
from buildsys.diagnosis.earlier import Entry, Errors
from buildsys.figures.measurement import Metric
from buildsys.report.comparison import Latency
from buildsys.verify.judgment.gate import Gate

ROUNDING = 1e-6
"""A signal error that is below this is float32's own rounding: a multiple of it says nothing."""


def judge(
    bounds: Mapping[str, float],
    before: Entry,
    now: Entry,
    latency: Latency | None,
) -> list[Gate]:
    """Judges a deployable against its earlier self; what was not measured fails, and says why.

    Args:
        bounds: Limit by the recipe's word, one of `bounds.REGRESSION_BOUNDS`.
        before: Its earlier entry.
        now: Its entry.
        latency: The comparison of their latencies.
    """
    gates = []
    for bound, limit in bounds.items():
        if bound == "max_size_ratio":
            value, reason = _size(before, now)
        elif bound == "max_latency_ratio":
            value, reason = _latency(latency)
        elif bound == "max_error_ratio":
            value, reason = _error(before, now)
        elif bound == "max_metric_loss":
            value, reason = metric_loss(before, now)
        else:
            raise ValueError(f"there is no bound named {bound!r}")
        gates.append(Gate(bound, None, limit, value, value is not None and value <= limit, reason))
    return gates


def _size(before: Entry, now: Entry) -> tuple[float | None, str | None]:
    if not before.bytes or not now.bytes:
        return None, "one of the two has no artifact"
    return now.bytes / before.bytes, None


def _latency(latency: Latency | None) -> tuple[float | None, str | None]:
    if latency is None:
        return None, "one of the two was not run"
    # Where no interval is known these are the medians alone, and the reason says so.
    return latency.least, latency.reason or "the least that both intervals allow"


def _error(before: Entry, now: Entry) -> tuple[float | None, str | None]:
    """The worst ratio of signal errors over the outputs that both have."""
    old, new = (_outputs(entry) for entry in (before, now))
    shared = [name for name in new if name in old]
    if not shared:
        return None, "there is no output that both were measured by"
    worst, where, below = -1.0, "", False
    for name in shared:
        first, second = old[name].signal_error, new[name].signal_error
        if first is None or second is None or not math.isfinite(first + second):
            return None, f"`{name}` has no error that is a number"
        ratio = max(second, ROUNDING) / max(first, ROUNDING)
        if ratio > worst:
            worst, where, below = ratio, name, max(first, second) <= ROUNDING
    rounding = f", which is rounding below {ROUNDING:.0e}" if below else ""
    return worst, f"signal_error of `{where}`{rounding}"


def metric_loss(before: Entry, now: Entry) -> tuple[float | None, str | None]:
    """How much worse the metric is than it was; negative where it is better. And why there is none."""
    old, new = metric(before), metric(now)
    if old is None or new is None:
        return None, "one of the two has no metric"
    if old.name != new.name:
        return None, f"the metric was {old.name}, and is {new.name}"
    if old.value is None or new.value is None:
        return None, "one of the two metrics is not a number"
    if old.count != new.count:
        # The same name over other data: a difference is not the artifact's.
        return None, f"taken over {new.count} samples, the earlier over {old.count}"
    drop = old.value - new.value
    return (drop if better(new.name) == "higher" else -drop), None


def _outputs(entry: Entry) -> Mapping[str, Errors]:
    return entry.measurement.outputs if entry.measurement is not None else {}


def metric(entry: Entry) -> Metric | None:
    """The task's metric, where it was measured."""
    return entry.measurement.metric if entry.measurement is not None else None
