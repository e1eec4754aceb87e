"""What people read, at the width that they have."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from buildsys.report.screens.console import gate_text, table
from buildsys.report.screens.lines import wrapped
from buildsys.verify.judgment.gate import Gate

REASON = "TensorRT needs an NVIDIA GPU, and no driver of one is here"


def test_reasons_break_at_words_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    lines = list(wrapped([REASON, "and 1 more"], console, 20))
    assert lines == ["TensorRT needs an NVIDIA GPU, and no", "driver of one is here", "and 1 more"]


@pytest.mark.parametrize(("terminal", "indent"), [(False, 20), (True, 40)])
def test_lines_stay_whole_in_a_log_and_where_there_is_no_room(terminal: bool, indent: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    assert list(wrapped([REASON], console, indent)) == [REASON]


def gate(bound: str, value: float, limit: float, passed: bool) -> Gate:
    return Gate(bound, "y", limit, value, passed=passed)


@pytest.mark.parametrize(
    ("judged", "digits", "said"),
    [
        (gate("signal_error", 0.00122, 0.001, False), 1, "signal_error 0.0012 > 0.001"),
        (gate("signal_error", 0.0010001, 0.001, False), 2, "signal_error 0.0010001 > 0.001"),
        (gate("signal_error", 0.00173, 0.15, True), 1, "signal_error 0.002 ≤ 0.15"),
        (gate("signal_error", 0.1, 0.1, True), 1, "signal_error 0.1 ≤ 0.1"),
        (gate("cosine", 0.99949, 0.9995, False), 2, "cosine 0.999 < 0.9995"),
        (gate("finite", 48.0, 0.0, False), 1, "finite 48 > 0"),
    ],
)
def test_a_bound_is_shown_as_it_was_judged(judged: Gate, digits: int, said: str) -> None:
    assert gate_text(judged, digits) == said


def test_the_table_fits_a_narrow_terminal() -> None:
    judged = gate("signal_error", 0.00122, 0.001, False).to_json()
    shared = {"size_ratio": None, "measurement": None, "bytes": 283432, "gates": [judged]}
    entries = [
        {"label": "ios/recommender.coreml-pruned", "status": "rejected", **shared},
        {"label": "ios/reader.coreml", "status": "checked", **shared},
    ]
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(table(entries, 80))
    lines = captured.get().splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:2] == ["ios/recommender.coreml-pruned", "rejected"]
    assert lines[1].rstrip().endswith("signal_error 0.0012 > 0.001")
