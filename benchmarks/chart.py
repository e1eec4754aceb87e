"""Draws `docs/performance.svg`: CPU seconds of a build with nothing to do, by the number of actions.

    python -m benchmarks.chart

Plain SVG, so that it needs nothing but the figures of `benchmarks.pipeline --json`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results" / "pipeline.json"
CHART = REPOSITORY / "docs" / "performance.svg"
OURS = "modelbuild"

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 110, 50, 50
COLOURS = {
    "make": "#7f7f7f",
    "ninja": "#bcbd22",
    "doit": "#2ca02c",
    OURS: "#d62728",
    "scons": "#9467bd",
    "snakemake": "#1f77b4",
    "dvc": "#ff7f0e",
    "redun": "#8c564b",
}
LINE_HEIGHT = 14.0
Points = list[tuple[int, float]]


def series(record: dict[str, list[dict[str, object]]]) -> dict[str, Points]:
    """The points of each tool, by the number of actions."""
    found: dict[str, Points] = {}
    for row in record["rows"]:
        if row["phase"] == "noop" and "cpu" in row:
            point = int(str(row["actions"])), float(str(row["cpu"]))
            found.setdefault(str(row["tool"]), []).append(point)
    return {tool: sorted(points) for tool, points in found.items()}


def spread(wanted: list[float]) -> list[float]:
    """Heights near the wanted ones, a line apart, for labels; in the same order."""
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    placed = list(wanted)
    for before, number in itertools.pairwise(order):
        placed[number] = max(placed[number], placed[before] + LINE_HEIGHT)
    return placed


class Scale:
    """From figures to places: both axes are logarithmic, in whole decades."""

    def __init__(self, lines: dict[str, Points]) -> None:
        points = [point for line in lines.values() for point in line]
        self.sizes = _decades([size for size, _ in points])
        self.seconds = _decades([seconds for _, seconds in points])

    def x(self, size: float) -> float:
        """Pixels from the left."""
        return LEFT + self._part(size, self.sizes) * (WIDTH - LEFT - RIGHT)

    def y(self, seconds: float) -> float:
        """Pixels from the top."""
        return HEIGHT - BOTTOM - self._part(seconds, self.seconds) * (HEIGHT - TOP - BOTTOM)

    @staticmethod
    def _part(value: float, decades: range) -> float:
        return (math.log10(value) - decades[0]) / max(1, decades[-1] - decades[0])


def _decades(values: list[float] | list[int]) -> range:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return range(low, max(high, low + 1) + 1)


def drawn(lines: dict[str, Points]) -> str:
    """The chart as SVG."""
    scale = Scale(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12" role="img">',
        "<title>CPU seconds of a build with nothing to do</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" font-size="15" font-weight="bold">A build with nothing to do: '
        "CPU seconds by the number of actions</text>",
        *_grid(scale),
    ]
    tools = list(lines)
    heights = spread([scale.y(lines[tool][-1][1]) for tool in tools])
    for tool, height in zip(tools, heights, strict=True):
        parts += _line(tool, lines[tool], height, scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(scale: Scale) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for power in scale.sizes:
        x = scale.x(10**power)
        yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{10**power:,}</text>'
    for power in scale.seconds:
        y = scale.y(10**power)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#dddddd"/>'
        yield (
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_seconds(10.0**power)}</text>'
        )
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">actions</text>'


def _seconds(value: float) -> str:
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"


def _line(tool: str, points: Points, height: float, scale: Scale) -> Iterator[str]:
    colour = COLOURS.get(tool, "#000000")
    width, weight = (3, "bold") if tool == OURS else (1.5, "normal")
    places = [(scale.x(size), scale.y(seconds)) for size, seconds in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
    for x, y in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width + 1}" fill="{colour}"/>'
    x, y = places[-1]
    # A line that ends early (a tool that was not measured further) has its name where it ends.
    edge = WIDTH - RIGHT
    label = x if x < edge - 1 else edge
    yield (
        f'<path d="M{x:.1f} {y:.1f}L{label + 8:.1f} {height:.1f}" stroke="{colour}" '
        'stroke-width="0.7" fill="none"/>'
    )
    yield (
        f'<text x="{label + 12:.1f}" y="{height + 4:.1f}" fill="{colour}" font-weight="{weight}">'
        f"{escape(tool)}</text>"
    )


def main() -> None:
    """Draws the chart."""
    CHART.write_text(drawn(series(json.loads(RESULTS.read_text()))))


if __name__ == "__main__":
    main()
