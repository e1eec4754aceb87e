"""Puts the figures of `benchmarks/results/` into `docs/performance.md`.

    python -m benchmarks.tables

A table stands between `<!-- NAME -->` and `<!-- end -->`; what is around it is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import cold, overhead, pipeline, planning, startup, workers

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
DOCUMENT = REPOSITORY / "docs" / "performance.md"
Record = dict[str, Any]


def of_machine(record: Record) -> str:
    """What it was measured on."""
    about = record["machine"]
    return (
        f"{about['processor']}, {about['cores']} cores, {about['system']}, "
        f"Python {about['python']}."
    )


def of_versions(record: Record) -> str:
    """The tools' versions."""
    return ", ".join(f"{name} {number}" for name, number in record["versions"].items()) + "."


def of_ratios(record: Record) -> str:
    """Our CPU time against doit's and make's, by phase and size."""
    rows = [row for row in record["rows"] if row["tool"] == "modelbuild" and "cpu" in row]
    lines = ["| | actions | CPU s | wall s | of doit's CPU | of make's CPU |", "|---" * 6 + "|"]
    lines += [
        f"| {pipeline.PHASES[row['phase']]} | {row['actions']:,} | {row['cpu']:.2f} "
        f"| {row['wall']:.2f} | {row.get('of_doit', '')} | {row.get('of_make', '')} |"
        for row in rows
    ]
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[[Record], str]]] = {
    "machine": ("pipeline", of_machine),
    "versions": ("pipeline", of_versions),
    "noop": ("pipeline", lambda record: pipeline.table(record["rows"], "noop")),
    "change": ("pipeline", lambda record: pipeline.table(record["rows"], "change")),
    "first": ("pipeline", lambda record: pipeline.table(record["rows"], "first")),
    "ratios": ("pipeline", of_ratios),
    "startup": ("startup", lambda record: startup.table(record["rows"])),
    "planning": ("planning", lambda record: planning.table(record["rows"])),
    "overhead": ("overhead", lambda record: overhead.table(record["rows"])),
    "workers": ("workers", lambda record: workers.table(record["milliseconds"])),
    "cold": ("cold", lambda record: cold.table(record["rows"])),
}
"""Each table: the file of its figures, and what makes it of them."""


def filled(document: str, records: dict[str, Record]) -> str:
    """The document with every table for which there are figures.

    Raises:
        ValueError: It has no place for one of them.
    """
    for name, (file, made) in TABLES.items():
        if file not in records:
            continue
        place = re.search(rf"(<!-- {name} -->\n).*?(?=<!-- end -->)", document, re.DOTALL)
        if place is None:
            raise ValueError(f"the document has no place for `{name}`")
        table = f"{place[1]}{made(records[file])}\n"
        document = document[: place.start()] + table + document[place.end() :]
    return document


def main() -> None:
    """Fills the document in."""
    records = {file.stem: json.loads(file.read_text()) for file in RESULTS.glob("*.json")}
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), records))


if __name__ == "__main__":
    main()
