"""The table of benchmarks, on wide and on narrow screens."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from buildsys.report.screens.benchmarks import print_benchmarks

BENCHMARK = {
    "settings": {"threads": 1, "warmup": 10, "runs": 200, "batch": 1, "starts": 3},
    "machine": "a processor, 2 cores",
    "latency_ms": {"p50": 0.1234, "p95": 1.5, "p99": 12.25},
    "throughput": 8103.7,
    "cold_start_ms": {"load": 3.0, "first_run": 1.0, "total": 4.0, "most": 5.0, "starts": 3},
    "memory_bytes": {"before": 1 << 20, "peak": 3 << 20},
    "against_float": {"ratio": 0.52, "low": 0.5, "high": 0.551, "rounds": 200},
}
ENTRIES: list[dict[str, Any]] = [
    {"label": "ios/m.onnx-int8", "benchmark": BENCHMARK},
    {"label": "ios/m.onnx", "benchmark": BENCHMARK | {"against_float": None}},
    {"label": "ios/m.coreml", "benchmark": None},
    {"label": "ios/m.before"},
]


def shown(entries: list[dict[str, Any]], width: int) -> list[str]:
    stream = io.StringIO()
    print_benchmarks(Console(file=stream, width=width), entries)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_wide_screen_has_it_all() -> None:
    _, _, first, second, below = shown(ENTRIES, 140)
    assert first.split() == [
        *("ios/m.onnx-int8", "0.123", "1.50", "12.2"),
        *("0.52", "(0.50–0.55)", "8104", "4.00", "2.0", "MiB"),
    ]
    assert second.split()[4] == "–"
    # What all have in common is said once.
    assert below == "1 thread, batch 1, 200 rounds, 3 cold starts; a processor, 2 cores"


def test_a_narrow_screen_has_what_matters() -> None:
    lines = shown(ENTRIES, 80)
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["ios/m.onnx-int8", "0.123", "0.52", "4.00", "2.0", "MiB"]


def test_nothing_is_said_of_no_benchmarks() -> None:
    assert shown(ENTRIES[2:], 140) == []
