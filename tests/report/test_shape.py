"""A report that people edited is shown, or refused with its file and the field: it is never a bug of ours."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from buildsys.bounds import OUTPUT_CEILINGS, OUTPUT_FLOORS, REGRESSION_BOUNDS
from buildsys.diagnosis.comparing import compare
from buildsys.diagnosis.earlier import entries, read
from buildsys.report.record import RecordError, read_report
from buildsys.report.screens.comparison import print_comparison
from buildsys.report.screens.console import print_record
from buildsys.report.shape import Entry, Part, Report

GATES = [
    {"bound": "signal_error", "output": "y", "limit": 0.1, "value": 0.5, "pass": False},
    {"bound": "metric_drop", "output": None, "limit": 0.1, "value": None, "pass": False}
    | {"reason": "no metric"},
    {"bound": "max_abs", "output": "y", "limit": 1, "value": 0, "pass": True, "case": "zeros"}
    | {"at": {"N": 4}, "worst_sample": 2},
]
PORT = {"name": "x", "shape": ["N", 3], "dtype": "float32", "artifact_name": "x0", "kind": "image"}
MEASUREMENT = {
    "outputs": {
        "y": dict.fromkeys((*OUTPUT_CEILINGS, *OUTPUT_FLOORS), 0.5)
        | {"histogram": {"exact": 1, "edges": [0.1, 1.0], "counts": [3]}}
    },
    "latency_ms": {"p50": 1.0, "p95": 2.0, "low": 0.9, "high": 1.1},
    "metric": {"name": "top1", "value": 0.5, "reference": 0.6, "transformed": 0.6, "count": 4},
    "weights": dict.fromkeys(("compared", "exact", "rounded", "quantized", "rearranged"), 1)
    | {"folded": 0, "traced": 0.5},
    "peak_rss_bytes": 1 << 20,
    "machine": "m",
    "runtime": "r",
    "threads": 1,
}
BENCHMARK = {
    "latency_ms": {"p50": 1.0, "p95": 1.0, "p99": 1.0},
    "memory_bytes": {"before": 1, "peak": 2},
    "against_float": {"ratio": 0.5, "low": 0.4, "high": 0.6},
    "throughput": 1.0,
    "cold_start_ms": {"total": 1.0},
    "settings": {"threads": 1, "batch": 1, "runs": 1, "starts": 2},
    "machine": "m",
}
CANDIDATE = {"name": "half", "status": "passed", "bytes": 1, "error": 0.1, "metric": 0.5}
ENTRY = {
    "label": "ios/m.onnx",
    "quantization": "best",
    "search": {
        "profile": "half",
        "float_bytes": 5,
        "candidates": [CANDIDATE | {"latency_ratio": 1.0, "reason": "why", "front": True}],
    },
    "digest": "sha256:00",
    "bytes": 4,
    "size_ratio": 0.5,
    "status": "rejected",
    "reason": "signal_error",
    "inputs_not_known": ["ctypes"],
    "notes": ["a note"],
    "gates": GATES,
    "measurement": MEASUREMENT,
    "calibration": {"tensors": 1, "runs": 1, "method": "minmax", "ranges": f"sha256:{'0' * 64}"},
    "benchmark": BENCHMARK,
    "io": {"inputs": [PORT | {"permutation": [0, 1]}], "outputs": [PORT | {"preprocess": {}}]},
    "options": {"gain": 1.0},
    "log": "a.log",
}
REPORT = {"version": 1, "project": "toy", "deployables": [ENTRY]}
OTHERS = (None, -1, 10**400, float("nan"), "\ud800", [None], {"a": [1]}, ...)
"""What a value is replaced by; `...` stands for none."""


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value."""
    rows = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in rows:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(path: tuple[Any, ...], value: Any) -> Any:
    """The report with another value at a place, or without it."""
    root: Any = copy.deepcopy(REPORT)
    node = root
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return root


def show(edited: Path, sound: Path, width: int = 160) -> None:
    """All that `modelbuild report` makes of it, by itself and as either side of `--against`."""
    console = Console(file=io.StringIO(), width=width)
    print_record(console, read_report(edited)["deployables"], verbose=True)
    for today, before in ((edited, sound), (sound, edited)):
        record, bounds = read_report(today), {"ios/m.onnx": dict.fromkeys(REGRESSION_BOUNDS, 1.0)}
        found = compare(
            entries(record["deployables"]), read(before), bounds, project=record["project"]
        )
        print_comparison(console, found, verbose=True)


def refused(edited: Path, sound: Path) -> str | None:
    """Why it is refused, where it is."""
    try:
        show(edited, sound)
    except RecordError as error:
        return error.message
    return None


def write(path: Path, record: Any) -> Path:
    path.write_text(json.dumps(record))
    return path


@pytest.mark.parametrize("path", list(places(REPORT)), ids=lambda path: ".".join(map(str, path)))
def test_every_edit_is_shown_or_refused(tmp_path: Path, path: tuple[Any, ...]) -> None:
    sound = write(tmp_path / "sound.json", REPORT)
    for value in OTHERS:
        edited = write(tmp_path / "edited.json", changed(path, value))
        refusal = refused(edited, sound)
        # A field of this place, or one that it should hold.
        assert refusal is None or (str(edited) in refusal and str(path[0]) in refusal)


@pytest.mark.parametrize("width", [80, 160])
def test_a_sound_report_is_shown(tmp_path: Path, width: int) -> None:
    sound = write(tmp_path / "sound.json", REPORT)
    show(sound, sound, width)


def fields(kind: type[Part]) -> Iterator[str]:
    """The names of what is read, of a shape and those within."""
    for name, field in kind.model_fields.items():
        yield field.alias or name
        for each in (field.annotation, *getattr(field.annotation, "__args__", ())):
            parts = (each, *getattr(each, "__args__", ()))
            yield from (
                inner
                for part in parts
                if isinstance(part, type) and issubclass(part, Part)
                for inner in fields(part)
            )


def test_the_report_that_is_edited_has_every_field_that_is_read() -> None:
    have = {str(path[-1]) for path in places(REPORT)}
    assert set(fields(Report)) <= have
    assert set(fields(Entry)) <= have


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("deployables", 0, "gates", 1, "value"), "x", "`deployables[0].gates[1].value`: "),
        (("deployables", 0, "label"), ..., "`deployables[0].label`: it is missing"),
        (("deployables", 0, "status"), "fine", "`deployables[0].status`: "),
        (("project",), 1, "`project`: "),
        (("version",), 2, "of version 2, and this program reads version 1"),
    ],
)
def test_the_error_names_file_and_field(
    tmp_path: Path, path: tuple[Any, ...], value: Any, said: str
) -> None:
    with pytest.raises(RecordError) as refused:
        read_report(write(tmp_path / "report.json", changed(path, value)))
    assert refused.value.message.startswith(f"{tmp_path / 'report.json'} is ")
    assert said in refused.value.message
