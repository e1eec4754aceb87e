"""What making each step again showed, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]
"""The form of `verify --rebuild --json`."""

WORDS = {
    "bytes": ("same bytes", "green"),
    "normalised": ("same once normalised", "green"),
    "declared": ("differs, as declared", "yellow"),
    "inputs": ("other inputs", "yellow"),
    "differs": ("DIFFERS", "bold red"),
    "failed": ("FAILED", "bold red"),
    "skipped": ("not made", "dim"),
}
"""What became of a step, and how that is shown."""
QUIET = ("bytes",)
"""What needs no line of its own below the table."""


def print_rebuilt(console: Console, record: Record, *, verbose: bool = False) -> None:
    """A line a step, what differed in which output, and the counts."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("step", no_wrap=True, overflow="fold")
    grid.add_column("the second time", no_wrap=True)
    for step in record["steps"]:
        text, style = WORDS[step["held"]]
        grid.add_row(Text(step["id"]), Text(text, style))
    console.print(grid)
    lines = [line for step in record["steps"] for line in _told(step, verbose)]
    if lines:
        console.print()
    for text, style in lines:
        _line(console, text, style)
    console.print()
    counts = [
        f"{count} {WORDS[held][0].lower()}" for held, count in record["summary"].items() if count
    ]
    total = len(record["steps"])
    _line(console, f"{total} step{'s' if total != 1 else ''} made again: {', '.join(counts)}", "")
    if record["summary"]["differs"]:
        text = "hint: what differs depends on something that its key does not hold; "
        text += "a shared cache would hand it out all the same"
        _line(console, text, "")


def _told(step: Record, verbose: bool) -> Iterator[tuple[str, str]]:
    if step["reason"]:
        yield f"{step['id']}: {step['reason']}", WORDS[step["held"]][1]
    for output in step["outputs"]:
        if output["held"] in QUIET and not verbose:
            continue
        text, style = WORDS[output["held"]]
        reason = f" ({output['reason']})" if output["reason"] else ""
        yield f"{step['id']}: {output['filename']}: {text}{reason}", style
        if output["held"] not in QUIET and verbose:
            yield f"  {output['before']} → {output['now']}", "dim"
    if step["held"] == "inputs":
        yield f"  it was given others: {', '.join(step['other_inputs'])}", "dim"


def _line(console: Console, text: str, style: str) -> None:
    wrap = console.is_terminal
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not wrap)
