"""The table of benchmarks: how fast artifacts are, beside the float ones of their formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.report.units import milliseconds, size

WIDE = 110
Entry = Mapping[str, Any]


def print_benchmarks(console: Console, entries: Iterable[Entry]) -> None:
    """Nothing where no deployable was benchmarked.

    Args:
        console: Where to; on a narrow one, without what matters least.
        entries: Of a `report.json`.
    """
    # A report of an earlier program has no such field.
    found = [(entry["label"], entry["benchmark"]) for entry in entries if entry.get("benchmark")]
    if not found:
        return
    wide = console.width >= WIDE
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("benchmark", no_wrap=True, overflow="fold")
    headings = ["p50 ms", "of float"]
    if wide:
        headings = ["p50 ms", "p95", "p99", "of float (95 %)", "samples/s"]
    for heading in (*headings, "cold ms", "memory"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for label, benchmark in found:
        grid.add_row(Text(label), *_row(benchmark, wide))
    console.print()
    console.print(grid)
    for text in dict.fromkeys(_circumstances(benchmark) for _, benchmark in found):
        console.print(text, style="dim", markup=False, highlight=False)


def _row(benchmark: Mapping[str, Any], wide: bool) -> list[str]:
    latency, memory = benchmark["latency_ms"], benchmark["memory_bytes"]
    beside = benchmark["against_float"]
    row = [milliseconds(latency["p50"])]
    if wide:
        row += [milliseconds(latency["p95"]), milliseconds(latency["p99"])]
    ratio = f"{beside['ratio']:.2f}" if beside else "–"
    row.append(f"{ratio} ({beside['low']:.2f}–{beside['high']:.2f})" if beside and wide else ratio)
    if wide:
        row.append(f"{benchmark['throughput']:.0f}")
    # Without what the runtime's own libraries take, and Python.
    needed = size(memory["peak"] - memory["before"])
    return [*row, milliseconds(benchmark["cold_start_ms"]["total"]), needed]


def _circumstances(benchmark: Mapping[str, Any]) -> str:
    """What figures hold for."""
    settings = benchmark["settings"]
    threads = f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}"
    return (
        f"{threads}, batch {settings['batch']}, {settings['runs']} rounds, "
        f"{settings['starts']} cold start{'s' if settings['starts'] > 1 else ''}; {benchmark['machine']}"
    )
