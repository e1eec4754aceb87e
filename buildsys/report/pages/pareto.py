"""A page with a search's candidates as points of size and error: one file, which loads nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

from buildsys.figures.candidate import Choice, Figures
from buildsys.report.pages.location import STYLE

FOLDER = ".search"
"""Where in the artifacts' folder pages lie."""
WIDTH, HEIGHT = 1000, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 24, 48
LEAST = 1e-9
LABEL_ROOM = 260
"""A point nearer to the right edge has its name on the left."""
KINDS = {"passed": "good", "rejected": "odd"}
UNITS = {"bytes": "size in bytes", "latency_ms": "median latency in ms"}


def page(label: str, search: Choice) -> str:
    """The whole page, as HTML; the same for equal searches."""
    title = html.escape(label)
    chosen = html.escape(search.profile)
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{STYLE}.front {{ fill: none; stroke: var(--good); }}</style></head>\n"
        f"<body>\n<h1>{title}</h1>\n"
        f"<p>Chosen: <code>{chosen}</code>, of {len(search.candidates)} candidates; "
        f"{search.built} were built.</p>\n{plot(search)}\n"
        '<p class="dim">Each point is a candidate that was built and measured: its size, and '
        "<code>signal_error</code> of its worst output. No other one is both smaller and closer than "
        "those on the line.</p>\n"
        f"{_table(search)}\n</body></html>\n"
    )


def plot(search: Choice, axis: str = "bytes") -> str:
    """Error against size (or another figure), as SVG; the error's axis is logarithmic."""
    points = [
        (each, float(figure), each.error)
        for each in search.candidates
        if (figure := getattr(each, axis)) is not None and each.error is not None
    ]
    if not points:
        return ""
    most = max(figure for _, figure, _ in points) * 1.08
    errors = [max(error, LEAST) for _, _, error in points]
    low, top = math.floor(math.log10(min(errors))), math.ceil(math.log10(max(errors)))
    top = max(top, low + 1)

    def x(figure: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * figure / most

    def y(value: float) -> float:
        part = (math.log10(max(value, LEAST)) - low) / (top - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    parts = [*_axes(low, top, most, UNITS[axis], y)]
    front = sorted((x(figure), y(error)) for each, figure, error in points if each.front)
    if len(front) > 1:
        line = " ".join(f"{across:.1f},{up:.1f}" for across, up in front)
        parts.append(f'<polyline class="front" points="{line}"/>')
    for each, figure, error in points:
        parts += _point(each, error, x(figure), y(error), search.profile)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="candidates by size and error">{"".join(parts)}</svg>'
    )


def _point(candidate: Figures, error: float, x: float, y: float, chosen: str) -> Iterator[str]:
    name = html.escape(candidate.name)
    kind = KINDS.get(candidate.status, "bad")
    radius = 7 if candidate.name == chosen else 4
    told = html.escape(f"{candidate.name}: {candidate.status}, {error:.3g}")
    yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{told}</title>'
    yield "</circle>"
    left = x > WIDTH - LABEL_ROOM
    at, anchor = (x - 10, "end") if left else (x + 10, "start")
    yield f'<text x="{at:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{name}</text>'


def _axes(low: int, top: int, most: float, unit: str, y: Any) -> Iterator[str]:
    for power in range(low, top + 1, max(1, math.ceil((top - low) / 8))):
        height = y(10.0**power)
        yield (
            f'<line class="axis" x1="{LEFT}" y1="{height:.1f}" x2="{WIDTH - RIGHT}" '
            f'y2="{height:.1f}"/>'
        )
        yield f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">1e{power}</text>'
    for number in range(5):
        value = most * number / 4
        at = LEFT + (WIDTH - LEFT - RIGHT) * number / 4
        anchor = "middle" if number < 4 else "end"
        yield (
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}">{value:,.4g}</text>'
        )
    yield f'<text x="{LEFT}" y="{HEIGHT - 8}">{unit}</text>'


def _table(search: Choice) -> str:
    heads = '<tr><th>candidate</th><th>status</th><th class="n">bytes</th><th class="n">error</th>'
    heads += '<th class="n">metric</th><th class="n">latency ms</th><th>reason</th></tr>'
    rows: Sequence[str] = [
        f"<tr><td>{html.escape(each.name)}{' ←' if each.name == search.profile else ''}</td>"
        f"<td>{each.status}{', on the front' if each.front else ''}</td>"
        + "".join(
            f'<td class="n">{"" if (value := getattr(each, name)) is None else format(value, form)}</td>'
            for name, form in (
                ("bytes", ","),
                ("error", ".3g"),
                ("metric", ".4f"),
                ("latency_ms", ".3f"),
            )
        )
        + f"<td>{html.escape(each.reason or '')}</td></tr>"
        for each in search.candidates
    ]
    return f"<table>\n{heads}\n" + "\n".join(rows) + "\n</table>"
