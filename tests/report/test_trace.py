"""The file of `build --trace`: spans that nest, lanes that do not overlap, a file that is whole."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from buildsys.engine.events import (
    ActionFinished,
    ActionName,
    ActionStarted,
    Diagnostic,
    Toolchain,
)
from buildsys.report.trace import Timeline, TraceFile
from buildsys.store import StoreError
from tests.space import Space


def named(name: str, toolchain: str | None = None) -> ActionName:
    return ActionName(name, f"rule.{name}", toolchain, "ios/m")


def started(timeline: Timeline, name: str, at: float, toolchain: str | None = None) -> None:
    timeline(ActionStarted(action=named(name, toolchain), at=at))


def finished(timeline: Timeline, name: str, at: float, **more: Any) -> None:
    fields = {"cached": False, "key": None, "seconds": 1.0, **more}
    timeline(ActionFinished(action=named(name), at=at, **fields))


def making(timeline: Timeline, message: str, at: float) -> None:
    timeline(Toolchain(toolchain="onnx", message=message, at=at))


def spans(timeline: Timeline, category: str) -> dict[str, dict[str, Any]]:
    record = timeline.to_json()
    json.dumps(record)
    return {e["name"]: e for e in record["traceEvents"] if e.get("cat") == category}


def test_lanes_are_used_again_and_never_by_two_at_once() -> None:
    timeline = Timeline()
    started(timeline, "a", 1.0)
    started(timeline, "b", 1.5)
    finished(timeline, "a", 2.0, key="k", peak_rss_bytes=1 << 20)
    started(timeline, "c", 2.5)
    finished(timeline, "c", 3.0)
    finished(timeline, "b", 4.0)
    found = spans(timeline, "action")
    assert {n: (e["tid"], e["ts"], e["dur"]) for n, e in found.items()} == {
        "rule.a": (0, 1_000_000, 1_000_000),
        "rule.b": (1, 1_500_000, 2_500_000),
        "rule.c": (0, 2_500_000, 500_000),
    }
    assert found["rule.a"]["args"] == {
        "id": "a",
        "rule": "rule.a",
        "deployable": "ios/m",
        "key": "k",
        "cached": False,
        "peak_rss_bytes": 1 << 20,
    }


def test_phases_lie_inside_their_action_in_order() -> None:
    timeline = Timeline()
    started(timeline, "a", 1.0)
    phases = {"inputs": 0.25, "wait": 0.0, "work": 0.5, "store": 9.0}
    finished(timeline, "a", 2.0, phases=phases)
    found = spans(timeline, "phase")
    assert {n: (e["ts"], e["dur"]) for n, e in found.items()} == {
        "inputs": (1_000_000, 250_000),
        "work": (1_250_000, 500_000),
        "store": (1_750_000, 250_000),  # Cut at the action's end.
    }
    assert {e["tid"] for e in found.values()} == {0}


def test_memory_is_the_sum_of_the_peaks_of_what_runs() -> None:
    timeline = Timeline()
    started(timeline, "a", 1.0)
    started(timeline, "b", 2.0)
    finished(timeline, "a", 3.0, peak_rss_bytes=100 << 20)
    finished(timeline, "b", 4.0, peak_rss_bytes=50 << 20)
    counters = [e for e in timeline.to_json()["traceEvents"] if e["ph"] == "C"]
    assert [(e["ts"] // 1_000_000, e["args"]["MiB"]) for e in counters] == [
        (1, 100.0),
        (2, 150.0),
        (3, 50.0),
        (4, 0.0),
    ]


def test_toolchains_have_lanes_of_their_own() -> None:
    timeline = Timeline()
    making(timeline, "making", 0.0)
    making(timeline, "installing", 1.0)
    started(timeline, "a", 3.0, toolchain="onnx")
    found = spans(timeline, "toolchain")
    assert {n: (e["ts"], e["dur"]) for n, e in found.items()} == {
        "onnx: making": (0, 1_000_000),
        "onnx: installing": (1_000_000, 2_000_000),
    }
    assert {e["tid"] for e in found.values()} == {1000}


def test_what_was_taken_from_the_store_is_a_mark_and_what_failed_says_so() -> None:
    timeline = Timeline()
    finished(timeline, "a", 1.0, cached=True)
    started(timeline, "b", 1.0)
    timeline(Diagnostic(severity="error", message="oops", action=named("b"), at=2.0))
    started(timeline, "c", 2.0)
    assert spans(timeline, "cached")["cached: rule.a"]["ph"] == "i"
    found = spans(timeline, "action")
    assert found["rule.b"]["args"]["failed"] == "oops"
    assert found["rule.c"]["args"]["unfinished"] is True


def test_a_real_build_gives_a_span_for_each_action_that_ran(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with TraceFile(path) as timeline, space.session() as session:
        build = session.build(listener=timeline)
    events = json.loads(path.read_text())["traceEvents"]
    actions = [e for e in events if e.get("cat") == "action"]
    assert {e["args"]["id"] for e in actions} == set(build.run.executed)
    assert all(e["dur"] > 0 and e["ts"] >= 0 for e in actions)
    for lane in {e["tid"] for e in actions}:
        ordered = sorted((e["ts"], e["ts"] + e["dur"]) for e in actions if e["tid"] == lane)
        assert all(a[1] <= b[0] for a, b in pairwise(ordered))
    assert not list(tmp_path.glob(".trace-*"))


def test_the_file_is_written_when_the_build_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("before")

    def interrupted() -> None:
        with TraceFile(path) as timeline:
            started(timeline, "a", 0.5)
            assert path.read_text() == "before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (span,) = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    assert span["args"]["unfinished"] is True
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_a_link_stays_a_link_and_a_full_disk_is_no_bug(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("")
    link.symlink_to(target)
    with TraceFile(link):
        pass
    assert link.is_symlink()
    assert "traceEvents" in json.loads(target.read_text())
    if Path("/dev/full").exists():
        with (
            pytest.raises(StoreError, match="cannot write /dev/full"),
            TraceFile(Path("/dev/full")),
        ):
            pass
        assert Path("/dev/full").is_char_device()
