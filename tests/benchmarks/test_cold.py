"""Where a build's time went, from its events."""

from __future__ import annotations

import json

import pytest

from benchmarks.cold import split


def finished(rule: str, seconds: float, **more: object) -> str:
    event = {"event": "action_finished", "rule": rule, "cached": False, "seconds": seconds}
    return json.dumps(event | more)


def test_parts_add_up_to_the_wall_time() -> None:
    phases = {"inputs": 0.1, "wait": 2.0, "work": 3.0, "store": 0.2}
    lines = [
        json.dumps({"event": "version", "version": 1}),
        finished("onnx.export", 5.3, phases=phases),
        finished("onnx.run", 1.0, phases={"work": 1.0}),
        finished("verify.measure", 0.5),
        finished("coreml.convert", 9.0, cached=True),
    ]
    found = split(lines, 10.0)
    assert found == pytest.approx(
        {"convert": 3.0, "measure": 1.5, "wait": 2.0, "files": 0.3, "rest": 3.2}
    )
    assert sum(found.values()) == pytest.approx(10.0)
