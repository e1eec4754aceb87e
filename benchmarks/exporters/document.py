"""What both exporters gave: kept as JSON, shown as `docs/exporters.md`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.zoo.coverage import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results" / "exporters.json"
DOCUMENT = REPOSITORY / "docs" / "exporters.md"
ROUTES = {"torchscript": "trace", "exported": "export"}
"""A model's `capture:` by the exporter that its ONNX file comes from."""
CASES: dict[str, Mapping[str, Any]] = {
    "onnx": {"format": "onnx"},
    "openvino": {"format": "openvino"},
}
"""What is made: entries of a recipe."""
CLOSE = 1e-3
"""An ONNX file whose outputs are off by a larger part counts as wrong."""
FIGURES = {"bytes": "bytes", "nodes": "nodes", "operators": "operators", "cpu_ms": "CPU ms a run"}
EQUAL = 0.05
"""Differences of this part and less count as none."""

Cell = dict[str, Any]
Record = dict[str, dict[str, dict[str, Cell]]]

HEAD = """\
# The two exporters to ONNX

PyTorch has two: the older one takes TorchScript, and upstream deprecated it; the newer one takes an exported
program. Both were tried on {models} architectures of the [zoo](coverage.md), and what other formats make of
their files. Written by

    python -m benchmarks.exporters [--model ARCHITECTURE]...

By default a model with `capture: trace` or `export` goes to ONNX by `exported`, one with `capture: script` by
`torchscript`; `route: [exported, torchscript]` on an entry tries the older one where the newer one fails.

`torchscript` is `capture: trace`, `exported` is `capture: export`. All else is by default options. An ONNX
file is good where ONNX Runtime's outputs are off by 1e-3 of the original's at most, at two sizes. What
OpenVINO converts is not run. CPU ms are the processor's time of one run in ONNX Runtime by one thread, the
median of 40 in turns.

"""


def wrong(cell: Cell) -> str | None:
    """What is wrong with a file, or `None`."""
    if "error" in cell:
        return " ".join(str(cell["error"]).split())[:300]
    error = cell.get("error_ratio", 0.0)
    return None if error <= CLOSE else f"the outputs are off by {error:.1e} of the original's"


def written(record: Record) -> str:
    """The whole document."""
    parts = [HEAD.format(models=len(record)), _good(record), _files(record)]
    return "\n".join([*parts, _rows(record), _causes(record)])


def _pairs(record: Record, figure: str) -> Iterator[tuple[str, float, float]]:
    """A figure of the ONNX files of each model that both exporters gave one of."""
    for model, row in record.items():
        first, second = (row.get("onnx", {}).get(route, {}) for route in ROUTES)
        if first.get(figure) and second.get(figure):
            yield model, first[figure], second[figure]


def _good(record: Record) -> str:
    lines = ["| | of | torchscript | exported |", "|---|---|---|---|"]
    for case in CASES:
        cells = [row[case] for row in record.values() if case in row]
        if cells:
            counts = [sum(wrong(c[route]) is None for c in cells) for route in ROUTES]
            lines.append(f"| {case} is good | {len(cells)} | {counts[0]} | {counts[1]} |")
    return "\n".join(lines) + "\n"


def _files(record: Record) -> str:
    lines = [
        "| ONNX files | of | exported is less | equal within 5 % | exported is more | ratio |",
        "|---" * 6 + "|",
    ]
    for figure, words in FIGURES.items():
        ratios = [second / first for _, first, second in _pairs(record, figure)]
        if ratios:
            less, more = (
                sum(r < 1 - EQUAL for r in ratios),
                sum(r > 1 + EQUAL for r in ratios),
            )
            mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
            lines.append(
                f"| {words} | {len(ratios)} | {less} | {len(ratios) - less - more} | {more} "
                f"| {mean:.2f} |"
            )
    return "\n".join(lines) + "\n\n`ratio` is the geometric mean of exported to torchscript.\n"


def _rows(record: Record) -> str:
    """Each model: whether it ships, torchscript before exported, and the figures of its files."""
    cases = [case for case in CASES if any(case in row for row in record.values())]
    lines = [
        f"| architecture | {' | '.join(cases)} | nodes | bytes | CPU ms |",
        "|---" * (len(cases) + 4) + "|",
    ]
    for model, row in record.items():
        shown = [_marks(row[case]) if case in row else "" for case in cases]
        told = [_both(row.get("onnx", {}), figure) for figure in ("nodes", "bytes", "cpu_ms")]
        lines.append(f"| {model} | {' | '.join([*shown, *told])} |")
    return "\n".join(lines) + "\n"


def _marks(cell: Mapping[str, Cell]) -> str:
    marks = ["✓" if wrong(cell[route]) is None else "**fails**" for route in ROUTES]
    return marks[0] if marks[0] == marks[1] else f"{marks[0]}, {marks[1]}"


def _both(cell: Mapping[str, Cell], figure: str) -> str:
    found = [cell.get(route, {}).get(figure) for route in ROUTES]
    return ", ".join("–" if each is None else f"{each:,}" for each in found)


def _causes(record: Record) -> str:
    lines = ["## What is not good", ""]
    for model, row in record.items():
        for case, cells in row.items():
            for route, cell in cells.items():
                if (told := wrong(cell)) is not None:
                    lines.append(f"- {model}, {case} by `{route}`: {told}")
    return "\n".join(lines if len(lines) > 2 else [*lines, "Nothing."]) + "\n"
