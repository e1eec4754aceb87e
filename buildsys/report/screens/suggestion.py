"""Proposed bounds for people: a table a deployable, and what belongs into the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.bounds import OUTPUT_FLOORS

QUANTILES = ("p50", "p95", "max")


def print_suggestion(console: Console, record: Mapping[str, Any], name: str) -> None:
    """Prints it.

    Args:
        console: Where to.
        record: As `verify --suggest --json` has it.
        name: The recipe's file.
    """
    for number, each in enumerate(record["deployables"]):
        if number:
            console.print()
        title = Text(each["label"], "bold")
        told = each["reason"] or f"{each['samples']} samples, for `{each['accept']}`"
        title.append(f"  {told}", "dim")
        console.print(title, soft_wrap=True)
        if each["bounds"]:
            console.print(_table(each["bounds"]))
    if record["yaml"]:
        console.print()
        console.print(f"Twice what the worse half of the samples shows, for {name}:", markup=False)
        console.print()
        console.print(record["yaml"], markup=False, highlight=False, soft_wrap=True)


def _table(proposals: Sequence[Mapping[str, Any]]) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    grid.add_column("  bound", no_wrap=True)
    grid.add_column("output", no_wrap=True)
    for heading in ("now", *QUANTILES, "all", "proposed"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for each in proposals:
        quantiles = each["quantiles"] or {}
        sign = "≥" if each["bound"] in OUTPUT_FLOORS else "≤"
        now = Text("–" if each["now"] is None else f"{sign} {each['now']:.3g}")
        if not each["holds"]:
            now.stylize("bold red")
            now.append(" FAILS")
        proposed = "–" if each["proposed"] is None else f"{sign} {each['proposed']:.12g}"
        grid.add_row(
            f"  {each['bound']}",
            each["output"],
            now,
            *(f"{quantiles[key]:.1e}" if key in quantiles else "" for key in QUANTILES),
            "–" if each["value"] is None else f"{each['value']:.2g}",
            Text(proposed, "bold"),
        )
    return grid
