"""What an earlier build came to: its `report.json`, or a bundle that was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildsys.release import bundle
from buildsys.report.record import check_entry, read_report

BUNDLE = ".tar.zst"


@dataclass(frozen=True)
class Earlier:
    """An earlier build.

    Attributes:
        path: Where it was read from.
        kind: `report` or `bundle`.
        project: The project's name.
        release: A bundle's version.
        target: The one target that a bundle holds.
        entries: By label, in its own order: what `report.json` and a bundle's manifest both say of a
            deployable.
    """

    path: Path
    kind: str
    project: str | None
    release: str | None
    target: str | None
    entries: Mapping[str, Mapping[str, Any]]


def read(path: Path) -> Earlier:
    """Reads a `report.json`, or a bundle with every file of it checked.

    Raises:
        RecordError: It is no report of a build.
        BundleError: It is a bundle that is damaged.
    """
    if path.name.endswith(BUNDLE):
        manifest = bundle.read(path).manifest
        entries = manifest["artifacts"]
        for number, entry in enumerate(entries):
            check_entry(entry, f"{path}: artifacts[{number}]")
        return Earlier(
            path,
            "bundle",
            manifest.get("project"),
            manifest.get("release"),
            manifest.get("target"),
            {entry["label"]: entry for entry in entries},
        )
    record = read_report(path)
    entries = {entry["label"]: entry for entry in record["deployables"]}
    return Earlier(path, "report", record.get("project"), None, None, entries)
