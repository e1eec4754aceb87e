"""A difference of latencies is told only where noise does not explain it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from buildsys.diagnosis.earlier import Measured
from buildsys.diagnosis.latencies import compare
from buildsys.figures.json_form import read


def taken(p50: float, low: float | None = None, high: float | None = None, **more: Any) -> Measured:
    figures: dict[str, Any] = {"p50": p50, "p95": p50 * 2, "runs": 50}
    if low is not None:
        figures |= {"low": low, "high": high}
    conditions = {"runtime": "r 1", "threads": 1, "machine": "m"}
    return read(Measured, {"outputs": {}, "latency_ms": figures} | conditions | more)


BEFORE = taken(1.0, 0.95, 1.05)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (taken(1.2, 1.1, 1.3), "slower"),
        (taken(0.8, 0.7, 0.9), "faster"),
        (taken(1.2, 1.04, 1.3), "same"),  # The intervals share something.
        (taken(0.8, 0.7, 0.96), "same"),
        (taken(1.2, 1.05, 1.3), "same"),
    ],
)
def test_only_disjoint_intervals_tell_apart(now: Any, verdict: str) -> None:
    found = compare(BEFORE, now)
    assert found is not None
    assert found.verdict == verdict
    assert found.reason is None


def test_a_few_per_cent_are_noise_however_narrow_the_intervals() -> None:
    before = taken(1.0, 0.999, 1.001)
    for now, verdict in ((1.04, "same"), (0.96, "same"), (1.06, "slower"), (0.94, "faster")):
        found = compare(before, taken(now, now - 0.001, now + 0.001))
        assert found is not None
        assert found.verdict == verdict, now


def test_the_least_ratio_is_what_both_intervals_allow() -> None:
    found = compare(BEFORE, taken(1.5, 1.26, 1.6))
    assert found is not None
    assert found.ratio == 1.5
    assert found.least == pytest.approx(1.26 / 1.05)


@pytest.mark.parametrize(
    ("before", "now", "whose"),
    [
        (taken(1.0), taken(2.0, 1.9, 2.1), "the earlier latency"),
        (BEFORE, taken(2.0), "today's latency"),
        (taken(1.0), taken(2.0), "either latency"),
    ],
)
def test_without_an_interval_it_is_said_so(before: Any, now: Any, whose: str) -> None:
    found = compare(before, now)
    assert found is not None
    assert (found.verdict, found.ratio, found.least) == ("unknown", 2.0, 2.0)
    assert found.reason == f"no interval is known of {whose}: a difference may be noise"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("machine", "other", "another machine (m, now other)"),
        ("runtime", "r 2", "another runtime (r 1, now r 2)"),
        ("threads", 2, "another number of threads (1, now 2)"),
    ],
)
def test_what_was_not_measured_alike_is_not_compared(field: str, value: Any, said: str) -> None:
    found = compare(BEFORE, taken(2.0, 1.9, 2.1, **{field: value}))
    assert found is not None
    assert found.verdict == "unknown"
    assert found.reason == f"measured with {said}"


def test_an_older_measurement_does_not_tell_its_machine() -> None:
    found = compare(replace(BEFORE, machine=""), taken(2.0, 1.9, 2.1))
    assert found is not None
    assert found.verdict == "slower"


def test_one_and_the_same_artifact_is_neither_slower_nor_faster() -> None:
    found = compare(BEFORE, taken(2.0, 1.9, 2.1), same_bytes=True)
    assert found is not None
    assert (found.verdict, found.ratio, found.least) == ("same", 2.0, 1.0)


def test_what_was_not_measured_is_not_compared() -> None:
    assert compare(None, BEFORE) is None
    assert compare(BEFORE, None) is None
    assert compare(BEFORE, Measured({})) is None
    found = compare(taken(0.0, 0.0, 0.0), BEFORE)
    assert found is not None
    assert (found.verdict, found.ratio) == ("unknown", None)
