"""What a search chose from: a line while it runs, and a table of its candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.engine.events import Candidate, Chosen, SearchStarted
from buildsys.figures.candidate import Choice, Figures
from buildsys.figures.json_form import read

STYLES = {"passed": "green", "rejected": "red", "failed": "bold red"}


def search_lines(event: SearchStarted | Candidate | Chosen) -> Iterator[str]:
    """An event of a search in words."""
    if isinstance(event, SearchStarted):
        count = len(event.candidates)
        again = ", as what was asked has changed" if event.outdated else ""
        yield (
            f"search for {event.deployable}: the least {event.minimize} of {count} "
            f"candidate{'s' if count > 1 else ''} that `{event.subject_to}` lets pass{again}"
        )
        for name, why in event.refused.items():
            yield f"  passed over: `{name}`: {why}"
    elif isinstance(event, Candidate):
        figures = read(Figures, event.figures)
        yield f"  {figures.status:<8}  {figures.name}: {figures_text(figures)}"
    else:
        chosen = f"`{event.profile}`"
        said = f"chose {chosen}" if event.passed else f"nothing passes; nearest is {chosen}"
        yield f"search for {event.deployable}: {said}, after {event.built} builds"


def figures_text(candidate: Figures) -> str:
    """A candidate's figures in a line."""
    parts = []
    if candidate.bytes is not None:
        parts.append(f"{candidate.bytes:,} bytes")
    if candidate.error is not None:
        parts.append(f"signal_error {candidate.error:.2g}")
    if candidate.metric is not None:
        parts.append(f"metric {candidate.metric:.3f}")
    if candidate.latency_ms is not None:
        parts.append(f"{candidate.latency_ms:.3f} ms")
    if candidate.latency_ratio is not None:
        parts.append(f"{candidate.latency_ratio:.2f} of float's time")
    return ", ".join(parts) or (candidate.reason or "no figures")


NARROW = 100
"""From how many characters on a terminal shows every column."""


def front_table(search: Choice, width: int) -> Table:
    """All candidates of a search; those that nothing beats in both size and error are marked.

    Args:
        search: `search` of a report's entry.
        width: Of the terminal, in characters; in a narrow one what follows from the rest is left out.
    """
    candidates = search.candidates
    timed = any(each.latency_ratio is not None for each in candidates)
    ratio = width >= NARROW
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("candidate", overflow="fold")
    grid.add_column("status", no_wrap=True)
    for name in ("bytes", *ratio * ("of float",), "error", "metric", *timed * ("time of float",)):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    whole = search.float_bytes
    for each in candidates:
        named = Text(each.name)
        if each.name == search.profile:
            named.append("  ← chosen", "bold")
        size = each.bytes
        figures = ["–" if size is None else f"{size:,}"]
        if ratio:
            figures.append("–" if size is None or not whole else f"{size / whole:.2f}")
        figures += [_number(each.error, ".2g"), _number(each.metric, ".3f")]
        if timed:
            figures.append(_number(each.latency_ratio, ".2f"))
        grid.add_row(
            named,
            Text(each.status, STYLES.get(each.status, "dim")),
            *figures,
            Text("front" if each.front else "", "cyan"),
        )
    return grid


def print_searches(console: Console, entries: Sequence[Mapping[str, Any]]) -> None:
    """The candidates of each deployable that a search chose for, and why some were not built."""
    for entry in entries:
        if not entry.get("search"):
            continue
        search = read(Choice, entry["search"])
        console.print()
        title = f"what the search for {entry['label']} chose from"
        console.print(Text(title, "dim"), soft_wrap=True)
        console.print(front_table(search, console.width))
        for each in search.candidates:
            if each.reason:
                line = f"  {each.name}: {each.reason}"
                console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
