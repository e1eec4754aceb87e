"""Whether an artifact became slower, or was only measured on a busier day.

A measurement times one artifact some fifty times, and says between which times its median lies. Two are
told apart only where these intervals share nothing *and* the medians lie further apart than `NOISE`: an
interval knows of the noise within a run, and nothing of what differs from process to process (where
memory came to lie, how warm the processor was).
"""

from __future__ import annotations

from buildsys.diagnosis.earlier import Measured
from buildsys.report.comparison import Latency, Median

NOISE = 0.05
"""Of the earlier median: what the same file differs by from one run to the next on a quiet machine."""
CONDITIONS = ("machine", "runtime", "threads")
"""Of a measurement: what a latency depends on beside the artifact."""


def compare(
    before: Measured | None, now: Measured | None, *, same_bytes: bool = False
) -> Latency | None:
    """Compares the latencies of two measurements; `None` where one of them was not taken.

    Args:
        before: The earlier measurement.
        now: Today's.
        same_bytes: Whether they are of one and the same artifact: whatever they differ by is noise.
    """
    old, new = _median(before), _median(now)
    if old is None or new is None or before is None or now is None:
        return None
    if old.p50 <= 0:
        return Latency(old, new, None, None, "unknown", "the earlier latency is 0")
    ratio = new.p50 / old.p50
    reason = _incomparable(before, now)
    if reason is not None:
        return Latency(old, new, ratio, ratio, "unknown", reason)
    if same_bytes:
        return Latency(old, new, ratio, 1.0, "same", "the artifact is the very same")
    if old.low is None or old.high is None or new.low is None or new.high is None:
        which = (
            "the earlier" if new.low is not None else "today's" if old.low is not None else "either"
        )
        reason = f"no interval is known of {which} latency: a difference may be noise"
        return Latency(old, new, ratio, ratio, "unknown", reason)
    least = new.low / old.high
    verdict = "same"
    if new.low > old.high and ratio > 1 + NOISE:
        verdict = "slower"
    elif new.high < old.low and ratio < 1 - NOISE:
        verdict = "faster"
    return Latency(old, new, ratio, least, verdict)


def _median(measurement: Measured | None) -> Median | None:
    latency = measurement.latency_ms if measurement is not None else None
    if latency is None:
        return None
    # Older measurements have no interval.
    return Median(latency.p50, *((latency.low, latency.high) if latency.high else ()))


def _incomparable(before: Measured, now: Measured) -> str | None:
    """Why two latencies say nothing of each other: they were not taken alike."""
    for name in CONDITIONS:
        old, new = getattr(before, name), getattr(now, name)
        # An older measurement says nothing of its machine; that alone is no difference.
        if old != new and old and new:
            what = "number of threads" if name == "threads" else name
            return f"measured with another {what} ({old}, now {new})"
    return None
