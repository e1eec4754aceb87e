"""What an earlier build came to: its `report.json`, or a bundle that was published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from buildsys.bounds import OUTPUT_BOUNDS
from buildsys.engine.outcome.verdicts import Status
from buildsys.figures import json_form
from buildsys.figures.json_form import Beside
from buildsys.figures.measurement import Latency, Metric
from buildsys.release import bundle
from buildsys.report.comparison import EarlierBuild
from buildsys.report.record import check_entry, read_report

BUNDLE = ".tar.zst"


@dataclass(frozen=True)
class Errors:
    """The error figures of an output."""

    errors: Annotated[Mapping[str, float | None], Beside(OUTPUT_BOUNDS)]

    @property
    def signal_error(self) -> float | None:
        """The norm of the error, relative to how much the reference varies."""
        return self.errors["signal_error"]


@dataclass(frozen=True)
class Measured:
    """What is compared of a measurement: builds of other versions may say other things besides.

    Attributes:
        outputs: Error figures by output.
        metric: The task's metric.
        latency_ms: Time of one run.
        runtime: What ran the artifact, with its version.
        machine: The processor.
        threads: How many threads it ran with.
    """

    outputs: Mapping[str, Errors]
    metric: Metric | None = None
    latency_ms: Latency | None = None
    runtime: str = ""
    machine: str = ""
    threads: int = 0


@dataclass(frozen=True)
class Entry:
    """What `report.json` and a bundle's manifest both say of a deployable.

    Attributes:
        label: `TARGET/MODEL.FORMAT`.
        status: What became of it.
        reason: Why, where the status alone does not say.
        bytes: The artifact's size.
        measurement: The figures; `None` where it was not run.
        io: The io contract.
        digest: The artifact's digest.
        record: The whole entry as it was read.
    """

    label: str
    status: Status
    reason: str | None
    bytes: int | None
    measurement: Measured | None
    io: Mapping[str, Any] | None
    digest: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Earlier:
    """An earlier build.

    Attributes:
        build: What it is.
        entries: By label, in its own order.
    """

    build: EarlierBuild
    entries: Mapping[str, Entry]


def entries(records: Iterable[Mapping[str, Any]]) -> dict[str, Entry]:
    """Entries by label.

    Args:
        records: Of a `report.json` or a manifest, checked.
    """
    return {record["label"]: json_form.read(Entry, record) for record in records}


def read(path: Path) -> Earlier:
    """Reads a `report.json`, or a bundle with every file of it checked.

    Raises:
        RecordError: It is no report of a build.
        BundleError: It is a bundle that is damaged.
    """
    if path.name.endswith(BUNDLE):
        record, kind, rows = bundle.read(path).manifest, "bundle", "artifacts"
        for number, row in enumerate(record[rows]):
            check_entry(row, f"{path}: {rows}[{number}]")
    else:
        record, kind, rows = read_report(path), "report", "deployables"
    # A report is of all targets and of no release, whatever else a person wrote into it.
    release, target = (
        (record.get(name) if kind == "bundle" else None) for name in ("release", "target")
    )
    build = EarlierBuild(str(path), kind, record.get("project"), release, target)
    return Earlier(build, entries(record[rows]))
