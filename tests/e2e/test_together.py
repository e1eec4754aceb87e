"""Six commands at once on one project and an empty store: they share the work."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.project import Project

BUILDS = 6


@pytest.mark.toolchain
def test_six_commands_at_once_run_each_action_once(tmp_path: Path) -> None:
    project = Project.copy_of("digits", tmp_path)
    with ThreadPoolExecutor(BUILDS) as pool:
        results = list(pool.map(lambda _: project.build("ios/classifier.onnx"), range(BUILDS)))
    assert [result.code for result in results] == [0] * BUILDS, results[0].stderr
    finished = [e for r in results for e in r.events if e["event"] == "action_finished"]
    ran = Counter(e["id"] for e in finished if not e["cached"])
    assert set(ran) == {e["id"] for e in finished}
    assert set(ran.values()) == {1}, ran
    assert len(finished) == BUILDS * len(ran)
    assert all(r.statuses() == {"ios/classifier.onnx": "verified"} for r in results)
    again = project.build("ios/classifier.onnx")
    assert again.ran() == Counter()
