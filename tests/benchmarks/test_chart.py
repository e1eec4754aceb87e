"""The chart and the tables hold what was measured."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree
from typing import Any

import pytest

from benchmarks import chart, pipeline, tables

ABOUT = {"processor": "a CPU", "cores": 2, "system": "an OS", "python": "3.11"}


def row(tool: str, actions: int, cpu: float, phase: str = "noop") -> dict[str, Any]:
    return {"tool": tool, "actions": actions, "phase": phase, "cpu": cpu, "wall": cpu, "runs": 3}


ROWS = [
    row("make", 10, 0.001),
    row("make", 1000, 0.004),
    row("doit", 10, 0.08),
    row("doit", 1000, 0.12),
    row("modelbuild", 10, 0.06),
    row("modelbuild", 1000, 0.12),
    {"tool": "dvc", "actions": 1000, "phase": "first", "note": "written by hand: it takes long"},
]


def test_the_chart_is_svg_with_a_line_a_tool() -> None:
    drawn = chart.drawn(chart.series({"rows": ROWS}))
    root = xml.etree.ElementTree.fromstring(drawn)
    lines = [each for each in root if each.tag.endswith("polyline")]
    assert len(lines) == 3
    assert {"make", "doit", "modelbuild"} <= {each.text for each in root}


def test_labels_of_near_lines_do_not_overlap() -> None:
    placed = sorted(chart.spread([100.0, 101.0, 300.0, 99.0]))
    assert all(b - a >= chart.LINE_HEIGHT for a, b in itertools.pairwise(placed))


def test_ratios_are_against_the_same_size_and_phase() -> None:
    found = {(r["tool"], r["actions"]): r for r in pipeline.with_ratios(ROWS)}
    assert found["modelbuild", 1000]["of_doit"] == 1.0
    assert found["modelbuild", 10]["of_make"] == 60.0
    assert "of_doit" not in found["dvc", 1000]


def test_tables_are_put_between_their_marks() -> None:
    document = "".join(f"{name}\n<!-- {name} -->\nold\n<!-- end -->\n" for name in tables.TABLES)
    record = {"machine": ABOUT, "versions": {"make": "4.3"}, "rows": pipeline.with_ratios(ROWS)}
    filled = tables.filled(document, {"pipeline": record})
    assert "| doit | 0.080 | 0.12 |" in filled
    assert "| dvc |  | over 15 min |" in filled
    assert "a CPU, 2 cores, an OS, Python 3.11." in filled
    # There are no figures of the others.
    assert filled.count("\nold\n") == len({"startup", "planning", "overhead", "workers", "cold"})


def test_a_document_without_a_place_is_refused() -> None:
    record = {"machine": ABOUT, "versions": {}, "rows": []}
    with pytest.raises(ValueError, match="no place for `machine`"):
        tables.filled("", {"pipeline": record})


def test_every_table_has_its_place_in_the_document() -> None:
    document = tables.DOCUMENT.read_text()
    assert all(f"<!-- {name} -->\n" in document for name in tables.TABLES)
