"""Whether an artifact became slower, or was only measured on a busier day.

A measurement times one artifact some fifty times, and says between which times its median lies. Two are
told apart only where these intervals share nothing *and* the medians lie further apart than `NOISE`: an
interval knows of the noise within a run, and nothing of what differs from process to process (where
memory came to lie, how warm the processor was).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOISE = 0.05
"""Of the earlier median: what the same file differs by from one run to the next on a quiet machine."""
CONDITIONS = ("machine", "runtime", "threads")
"""Of a measurement: what a latency depends on beside the artifact."""


@dataclass(frozen=True)
class Latency:
    """Two medians.

    Attributes:
        before: The earlier `p50` in milliseconds; `low` and `high` where they are known.
        now: The same of today.
        ratio: Now against before.
        least: The least ratio that the intervals allow; the ratio itself where one is not known.
        verdict: `slower`, `faster`, `same` (no difference was shown) or `unknown`.
        reason: Why it is unknown; or why there is nothing to tell.
    """

    before: Mapping[str, float]
    now: Mapping[str, float]
    ratio: float | None
    least: float | None
    verdict: str
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The comparison as `report --against --json` has it."""
        return {
            "before": dict(self.before),
            "now": dict(self.now),
            "ratio": self.ratio,
            "least_ratio": self.least,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def compare(
    before: Mapping[str, Any] | None, now: Mapping[str, Any] | None, *, same_bytes: bool = False
) -> Latency | None:
    """Compares the latencies of two measurements; `None` where one of them was not taken.

    Args:
        before: The earlier measurement.
        now: Today's.
        same_bytes: Whether they are of one and the same artifact: whatever they differ by is noise.
    """
    old, new = _figures(before), _figures(now)
    if not old or not new or before is None or now is None:
        return None
    if old["p50"] <= 0:
        return Latency(old, new, None, None, "unknown", "the earlier latency is 0")
    ratio = new["p50"] / old["p50"]
    reason = _incomparable(before, now)
    if reason is not None:
        return Latency(old, new, ratio, ratio, "unknown", reason)
    if same_bytes:
        return Latency(old, new, ratio, 1.0, "same", "the artifact is the very same")
    if not ("low" in old and "low" in new):
        which = "the earlier" if "low" in new else "today's" if "low" in old else "either"
        reason = f"no interval is known of {which} latency: a difference may be noise"
        return Latency(old, new, ratio, ratio, "unknown", reason)
    least = new["low"] / old["high"]
    verdict = "same"
    if new["low"] > old["high"] and ratio > 1 + NOISE:
        verdict = "slower"
    elif new["high"] < old["low"] and ratio < 1 - NOISE:
        verdict = "faster"
    return Latency(old, new, ratio, least, verdict)


def _figures(measurement: Mapping[str, Any] | None) -> dict[str, float]:
    latency = (measurement or {}).get("latency_ms") or {}
    names = ("p50", "low", "high") if {"low", "high"} <= latency.keys() else ("p50",)
    return {name: latency[name] for name in names if name in latency}


def _incomparable(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why two latencies say nothing of each other: they were not taken alike."""
    for name in CONDITIONS:
        old, new = before.get(name), now.get(name)
        # An older measurement says nothing of its machine; that alone is no difference.
        if old != new and old is not None and new is not None:
            what = "number of threads" if name == "threads" else name
            return f"measured with another {what} ({old}, now {new})"
    return None
