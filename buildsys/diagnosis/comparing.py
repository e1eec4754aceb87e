"""A build compared with an earlier one, deployable by deployable: what an app or a release would notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from buildsys.bounds import OUTPUT_CEILINGS, OUTPUT_FLOORS
from buildsys.diagnosis import contracts, latencies, regressions
from buildsys.diagnosis.earlier import Earlier, Entry
from buildsys.engine.outcome.verdicts import Status
from buildsys.exit_status import ExitStatus
from buildsys.report.comparison import (
    Cause,
    Compared,
    Comparison,
    ErrorChange,
    MetricChange,
    SizeChange,
    StatusChange,
    Summary,
)

RANK = (
    Status.VERIFIED,
    Status.CHECKED,
    Status.UNVERIFIED,
    Status.REJECTED,
    Status.BLOCKED,
    Status.FAILED,
)
"""Statuses, the best first."""
CAUSES = ("scheme", "options", "route", "toolchains")
"""Fields of an entry that explain why an artifact is another one."""


def compare(
    today: Mapping[str, Entry],
    earlier: Earlier,
    bounds: Mapping[str, Mapping[str, float]],
    *,
    project: str,
    chosen: Iterable[str] | None = None,
    allowed: bool = False,
) -> Comparison:
    """Compares by label.

    Args:
        today: By label, the entries of today's `report.json`.
        earlier: The earlier build.
        bounds: By label, the recipe's bounds against it.
        project: The project's name.
        chosen: The labels that are compared; `None` for all. What a bundle says nothing of (other
            targets) is left out in any case.
        allowed: Whether breaking changes are accepted.
    """
    wanted = None if chosen is None else set(chosen)

    def asked(label: str) -> bool:
        of_target = earlier.build.target in (None, label.partition("/")[0])
        return of_target and (wanted is None or label in wanted)

    now = [label for label in today if asked(label)]
    before = [label for label in earlier.entries if asked(label)]
    added = tuple(label for label in now if label not in earlier.entries)
    removed = tuple(label for label in before if label not in today)
    compared = tuple(
        _compared(earlier.entries[label], today[label], bounds.get(label, {}))
        for label in now
        if label in earlier.entries
    )
    breaking = len(removed) + sum(each.breaking for each in compared)
    failed = sum(not gate.passed for each in compared for gate in each.bounds)
    sound = not failed and (allowed or not breaking)
    return Comparison(
        project=project,
        earlier=earlier.build,
        summary=Summary(len(compared), len(added), len(removed), breaking, failed),
        breaking=breaking > 0,
        allowed=allowed,
        exit=int(ExitStatus.OK if sound else ExitStatus.REJECTED),
        added=added,
        removed=removed,
        deployables=compared,
    )


def _compared(before: Entry, now: Entry, bounds: Mapping[str, float]) -> Compared:
    same_bytes = before.digest is not None and before.digest == now.digest
    latency = latencies.compare(before.measurement, now.measurement, same_bytes=same_bytes)
    loss, why = regressions.metric_loss(before, now)
    io = tuple(contracts.changes(before.io, now.io))
    lost = before.status.shipped and not now.status.shipped
    return Compared(
        label=now.label,
        status=StatusChange(
            before.status, now.status, _status_change(before.status, now.status), now.reason
        ),
        same_bytes=same_bytes,
        size=SizeChange(
            before.bytes,
            now.bytes,
            now.bytes / before.bytes if before.bytes and now.bytes else None,
        ),
        errors=_errors(before, now),
        metric=MetricChange(regressions.metric(before), regressions.metric(now), loss, why),
        latency=latency,
        io=io,
        io_known=before.io is not None and now.io is not None,
        causes=tuple(
            Cause(name, before.record[name], now.record[name])
            for name in CAUSES
            if name in before.record
            and name in now.record
            and before.record[name] != now.record[name]
        ),
        lost=lost,
        breaking=lost or any(change.breaking for change in io),
        bounds=tuple(regressions.judge(bounds, before, now, latency)),
    )


def _status_change(before: Status, now: Status) -> str:
    if before == now:
        return "same"
    return "worse" if RANK.index(now) > RANK.index(before) else "better"


def _errors(before: Entry, now: Entry) -> tuple[ErrorChange, ...]:
    """Every error figure of every output, in both."""
    old, new = (
        {name: each.errors for name, each in entry.measurement.outputs.items()}
        if entry.measurement is not None
        else {}
        for entry in (before, now)
    )
    found = (
        ErrorChange(
            output, figure, old.get(output, {}).get(figure), new.get(output, {}).get(figure)
        )
        for output in dict.fromkeys((*new, *old))
        for figure in (*OUTPUT_CEILINGS, *OUTPUT_FLOORS)
    )
    return tuple(each for each in found if each.before is not None or each.now is not None)
