"""A page with the errors along an artifact's operations: one file, which loads nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

from buildsys.figures.location import JudgedLocation, TableRow
from buildsys.report.screens.location import cure_line, figure, sentences

WIDTH, HEIGHT = 1000, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 40
LEAST = 1e-9
"""Errors below are drawn at the bottom: a logarithm has no zero."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --dim: #667; --line: #8886; --good: #1a7f4b;
  --odd: #a86700; --bad: #c4001d; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --dim: #9aa; --good: #4cc38a;
  --odd: #e0a030; --bad: #ff6070; --paper: #16181c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1040px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.2rem; } code, td, th, svg text { font-family: ui-monospace, monospace; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--dim); }
.axis { stroke: var(--line); } .path { fill: none; stroke: var(--dim); stroke-width: 1; }
.good { fill: var(--good); } .odd { fill: var(--odd); } .bad { fill: var(--bad); }
svg text { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
svg text.bad { font-size: 16px; fill: var(--bad); stroke: none; }
span.good { color: var(--good); } span.odd { color: var(--odd); } span.bad { color: var(--bad); }
span + span { margin-left: 1em; }
.here { stroke: var(--bad); stroke-dasharray: 4 3; } .bound { stroke: var(--odd); stroke-dasharray: 2 4; }
table { border-collapse: collapse; font-size: 13px; width: 100%; } th { text-align: left; }
td, th { padding: 1px 10px 1px 0; vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; white-space: nowrap; } tr.unexplained { color: var(--odd); }
tr.at { color: var(--bad); font-weight: bold; } .dim { color: var(--dim); }
"""

LEGEND = """<p class="dim"><span class="good">●</span> the original computes the same
<span class="odd">●</span> it does not, or not so nearly <span class="bad">●</span> where it goes wrong
<span class="bad">×</span> not finite</p>
"""


def page(location: JudgedLocation) -> str:
    """The whole page, as HTML; the same for equal locations."""
    title = html.escape(location.label)
    said = "".join(f"<p>{_marked(line)}</p>\n" for line in sentences(location))
    cure = location.cure
    if cure:
        line = html.escape(cure_line(cure))
        said += f"<p>Way out: in the profile of the recipe, <code>{line}</code></p>\n"
    elif location.way_out:
        said += f"<p>Way out: {_marked(location.way_out)}.</p>\n"
    notes = "".join(f'<p class="dim">{_marked(note)}</p>\n' for note in location.notes)
    legend = LEGEND if location.table else ""
    ran = html.escape(f"{location.runtime}; the original: {location.reference_runtime}")
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{said}{plot(location)}\n{legend}"
        f'{notes}<p class="dim">Error of each operation\'s result: ‖artifact − original‖ / '
        "‖original − its mean‖, where the original computes the same tensor. "
        f"Run by {ran}.</p>\n{_table(location)}\n</body></html>\n"
    )


def plot(location: JudgedLocation) -> str:
    """The errors over the operations' numbers, as SVG with a logarithmic axis."""
    rows: Sequence[TableRow] = location.table
    if not rows:
        return ""
    errors = [_drawn(row) for row in rows]
    known = [e for e in errors if e is not None and e > LEAST]
    top = math.ceil(math.log10(max([1.0, *known])))
    low = math.floor(math.log10(min([1e-5, *known])))

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / len(rows)

    def y(value: float) -> float:
        part = (math.log10(max(value, 10.0**low)) - low) / (top - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    at = location.operation.number if location.operation else None
    parts = [*_axes(low, top, y), *_numbers(rows, x)]
    points = [(x(i), y(e)) for i, e in enumerate(errors) if e is not None]
    if points:
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline class="path" points="{path}"/>')
    for index, row in enumerate(rows):
        if row.number == at:
            parts.append(_line("here", x(index), TOP, x(index), HEIGHT - BOTTOM))
        parts += _mark(row, errors[index], x(index), y, at)
    # Last, so that nothing is drawn over what it says.
    bound = location.tolerance
    if 10.0**low <= bound <= 10.0**top:
        parts.append(_line("bound", LEFT, y(bound), WIDTH - RIGHT, y(bound)))
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{y(bound) - 4:.1f}" text-anchor="end">'
            f"tolerance of outputs {bound:.2g}</text>"
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="errors along the operations">{"".join(parts)}</svg>'
    )


def _drawn(row: TableRow) -> float | None:
    return None if row.error is None else max(row.error, LEAST)


def _mark(row: TableRow, error: float | None, x: float, y: Any, at: int | None) -> Iterator[str]:
    """A dot where the error is known; a cross at the top where the result is not finite."""
    kind = "bad" if row.number == at else "good" if row.explained else "odd"
    told = f"{row.number} {row.artifact_op} {row.name}"
    if row.module:
        told += f", in {row.module}"
    if not row.finite:
        text = html.escape(f"{told}: not finite")
        yield f'<text class="bad" x="{x:.1f}" y="{TOP + 12}" text-anchor="middle">×'
        yield f"<title>{text}</title></text>"
    elif error is not None:
        text = html.escape(f"{told}: {figure(row.error)}")
        radius = 5 if row.number == at else 3
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y(error):.1f}" r="{radius}">'
        yield f"<title>{text}</title></circle>"


def _axes(low: int, top: int, y: Any) -> Iterator[str]:
    step = max(1, math.ceil((top - low) / 8))
    for power in range(low, top + 1, step):
        height = y(10.0**power)
        yield _line("axis", LEFT, height, WIDTH - RIGHT, height)
        least = "≤ " if power == low else ""  # Smaller ones, and 0, are drawn there.
        yield f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{least}1e{power}</text>'
    yield f'<text x="{LEFT}" y="{HEIGHT - 6}">operation</text>'


def _numbers(rows: Sequence[TableRow], x: Any) -> Iterator[str]:
    step = max(1, math.ceil(len(rows) / 16))
    for index in range(0, len(rows), step):
        yield (
            f'<text x="{x(index):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{rows[index].number}</text>"
        )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _table(location: JudgedLocation) -> str:
    at = location.operation.number if location.operation else None
    heads = '<tr><th class="n">no.</th><th>operation</th><th>name</th><th>original</th>'
    heads += '<th>module</th><th class="n">error</th><th class="n">largest</th></tr>'
    rows = []
    for row in location.table:
        kind = "at" if row.number == at else "" if row.explained else "unexplained"
        error = figure(row.error) if row.finite else "not finite"
        cells = "".join(
            f"<td>{html.escape(text or '')}</td>"
            for text in (row.artifact_op, row.name, row.reference_op, row.module)
        )
        known = row.finite and row.largest is not None
        largest = f"{row.largest:.3g}" if known else ""
        rows.append(
            f'<tr class="{kind}" id="op{row.number}"><td class="n">{row.number}</td>{cells}'
            f'<td class="n">{error}</td><td class="n">{largest}</td></tr>'
        )
    return f"<table>\n{heads}\n" + "\n".join(rows) + "\n</table>"


def _marked(text: str) -> str:
    """A sentence with what stands between backticks as code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))
