"""A build compared with an earlier one, deployable by deployable: what an app or a release would notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from buildsys.bounds import OUTPUT_CEILINGS, OUTPUT_FLOORS
from buildsys.diagnosis import contracts, latencies, regressions
from buildsys.diagnosis.contracts import Change
from buildsys.diagnosis.earlier import Earlier
from buildsys.diagnosis.latencies import Latency
from buildsys.engine.outcome.verdicts import Status
from buildsys.exit_status import ExitStatus
from buildsys.verify.judgment.gate import Gate

VERSION = 1
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

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    """A deployable that both builds have.

    Attributes:
        before: Its earlier entry.
        now: Its entry.
        latency: The comparison of latencies, where both were measured.
        io: What changed of the io contract.
        bounds: The recipe's bounds against the earlier one, judged.
    """

    before: Entry
    now: Entry
    latency: Latency | None
    io: tuple[Change, ...]
    bounds: tuple[Gate, ...]

    @property
    def lost(self) -> bool:
        """Whether it shipped and does so no more."""
        return Status(self.before["status"]).shipped and not Status(self.now["status"]).shipped

    @property
    def breaking(self) -> bool:
        """Whether an app that was written for the earlier one breaks."""
        return self.lost or any(change.breaking for change in self.io)

    @property
    def held(self) -> bool:
        """Whether every bound against the earlier one holds."""
        return all(gate.passed for gate in self.bounds)


@dataclass(frozen=True)
class Comparison:
    """All deployables of two builds.

    Attributes:
        project: The project's name.
        earlier: What is compared with.
        compared: Those that both have, in today's order.
        added: Labels that the earlier build does not have.
        removed: Labels that today's build does not have.
        allowed: Whether breaking changes are accepted.
    """

    project: str
    earlier: Earlier
    compared: tuple[Compared, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    allowed: bool

    @property
    def breaking(self) -> bool:
        """Whether an app breaks: a deployable is gone, or its contract is another one."""
        return bool(self.removed) or any(each.breaking for each in self.compared)

    @property
    def exit(self) -> int:
        """The command's exit status."""
        held = all(each.held for each in self.compared)
        return (
            ExitStatus.OK if held and (self.allowed or not self.breaking) else ExitStatus.REJECTED
        )

    def to_json(self) -> dict[str, Any]:
        """The form of `report --against --json`; docs/reports.md describes it."""
        return {
            "version": VERSION,
            "project": self.project,
            "earlier": {
                "path": str(self.earlier.path),
                "kind": self.earlier.kind,
                "project": self.earlier.project,
                "release": self.earlier.release,
                "target": self.earlier.target,
            },
            "summary": {
                "compared": len(self.compared),
                "added": len(self.added),
                "removed": len(self.removed),
                "breaking": len(self.removed) + sum(each.breaking for each in self.compared),
                "bounds_failed": sum(not g.passed for each in self.compared for g in each.bounds),
            },
            "breaking": self.breaking,
            "allowed": self.allowed,
            "exit": self.exit,
            "added": list(self.added),
            "removed": list(self.removed),
            "deployables": [_record(each) for each in self.compared],
        }


def compare(
    entries: Iterable[Entry],
    earlier: Earlier,
    bounds: Mapping[str, Mapping[str, float]],
    *,
    project: str,
    chosen: Iterable[str] | None = None,
    allowed: bool = False,
) -> Comparison:
    """Compares by label.

    Args:
        entries: Of today's `report.json`.
        earlier: The earlier build.
        bounds: By label, the recipe's bounds against it.
        project: The project's name.
        chosen: The labels that are compared; `None` for all. What a bundle says nothing of (other
            targets) is left out in any case.
        allowed: Whether breaking changes are accepted.
    """
    wanted = None if chosen is None else set(chosen)

    def asked(label: str) -> bool:
        of_target = earlier.target in (None, label.partition("/")[0])
        return of_target and (wanted is None or label in wanted)

    today = {entry["label"]: entry for entry in entries if asked(entry["label"])}
    before = {label: entry for label, entry in earlier.entries.items() if asked(label)}
    compared = []
    for label, now in today.items():
        if label in before:
            compared.append(_compared(before[label], now, bounds.get(label, {})))
    return Comparison(
        project,
        earlier,
        tuple(compared),
        tuple(label for label in today if label not in before),
        tuple(label for label in before if label not in today),
        allowed,
    )


def _compared(before: Entry, now: Entry, bounds: Mapping[str, float]) -> Compared:
    latency = latencies.compare(
        before["measurement"], now["measurement"], same_bytes=_same_bytes(before, now)
    )
    return Compared(
        before,
        now,
        latency,
        tuple(contracts.changes(before["io"], now["io"])),
        tuple(regressions.judge(bounds, before, now, latency)),
    )


def _record(each: Compared) -> dict[str, Any]:
    before, now = each.before, each.now
    loss, why = regressions.metric_loss(before, now)
    return {
        "label": now["label"],
        "status": {
            "before": before["status"],
            "now": now["status"],
            "change": _status_change(before["status"], now["status"]),
            "reason": now["reason"],
        },
        "same_bytes": _same_bytes(before, now),
        "size": {
            "before": before["bytes"],
            "now": now["bytes"],
            "ratio": now["bytes"] / before["bytes"] if before["bytes"] and now["bytes"] else None,
        },
        "errors": _errors(before, now),
        "metric": {
            "before": (before["measurement"] or {}).get("metric"),
            "now": (now["measurement"] or {}).get("metric"),
            "loss": loss,
            "reason": why,
        },
        "latency": each.latency.to_json() if each.latency else None,
        "io": [change.to_json() for change in each.io],
        "io_known": before["io"] is not None and now["io"] is not None,
        "causes": [
            {"what": name, "before": before[name], "now": now[name]}
            for name in CAUSES
            if name in before and name in now and before[name] != now[name]
        ],
        "lost": each.lost,
        "breaking": each.breaking,
        "bounds": [gate.to_json() for gate in each.bounds],
    }


def _same_bytes(before: Entry, now: Entry) -> bool:
    return before.get("digest") is not None and before["digest"] == now.get("digest")


def _status_change(before: str, now: str) -> str:
    if before == now:
        return "same"
    return "worse" if RANK.index(Status(now)) > RANK.index(Status(before)) else "better"


def _errors(before: Entry, now: Entry) -> list[dict[str, Any]]:
    """Every error figure of every output, in both."""
    old, new = ((entry["measurement"] or {}).get("outputs", {}) for entry in (before, now))
    return [
        {
            "output": output,
            "figure": figure,
            "before": old.get(output, {}).get(figure),
            "now": new.get(output, {}).get(figure),
        }
        for output in dict.fromkeys((*new, *old))
        for figure in (*OUTPUT_CEILINGS, *OUTPUT_FLOORS)
        if old.get(output, {}).get(figure) is not None
        or new.get(output, {}).get(figure) is not None
    ]
