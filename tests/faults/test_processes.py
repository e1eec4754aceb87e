"""Several processes on one store, signals, and machines that refuse."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from buildsys.store import Index, Store
from buildsys.store.collection import Collector
from tests.faults import runs
from tests.profile import KILLS, some
from tests.space import Space


def test_six_builds_at_once_run_each_action_once(space: Space, tmp_path: Path) -> None:
    spaces = [space]
    for number in range(1, 6):
        spaces.append(runs.copy(space, tmp_path / f"project-{number}", tmp_path / "nowhere"))
        spaces[-1].store = space.store
    results = [runs.ended(p) for p in [runs.start(s, "--jobs", "2") for s in spaces]]
    assert [r.status for r in results] == [0] * 6, [r.errors for r in results]
    rules = Counter(
        e["id"]
        for r in results
        for e in r.events
        if e["event"] == "action_finished" and not e["cached"]
    )
    assert len(rules) == 16
    assert set(rules.values()) == {1}, rules
    assert all(runs.artifacts(s) == runs.artifacts(space) for s in spaces)


def test_collections_beside_a_build_take_nothing_that_it_needs(space: Space) -> None:
    space.build()
    clean = runs.artifacts(space)
    for number in some(range(3)):
        space.weights([[1.1 + number, 2.3], [3.1, -4.7], [0.3, 0.25]])
        process = runs.start(space)
        while process.poll() is None:
            runs.build(space, "--collect")
        result = runs.ended(process)
        assert result.status == 0, result.errors
        assert (runs.artifacts(space) == clean) == (number == 0)
    assert space.build().run.executed == []


def _at_work(space: Space) -> bool:
    return any((space.store / "work").glob("*/in")) if (space.store / "work").exists() else False


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_stops_the_build(space: Space, times: int) -> None:
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.edit("model.py", "    return", "    import time; time.sleep(60)\n    return")
    process = runs.start(space)
    deadline = time.monotonic() + 30
    while not _at_work(space) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    result = runs.ended(process, timeout=20)
    assert result.status in ((130,) if times == 1 else (130, -signal.SIGINT)), result.errors
    assert not (space.project / "artifacts" / "ios").exists()
    assert runs.leftovers(space) == []
    space.edit("model.py", "    import time; time.sleep(60)\n", "")
    assert space.build().exit == 0


@pytest.mark.parametrize("number", range(KILLS))
def test_a_random_kill_of_the_whole_group(space: Space, tmp_path: Path, number: int) -> None:
    space.build()
    space.weights([[1.1, 2.3], [3.1, -4.7], [0.3, float(number)]])
    process = runs.start(space)
    time.sleep(random.uniform(0.3, 2.5))
    os.killpg(process.pid, signal.SIGKILL)
    runs.ended(process)
    assert space.build().exit == 0
    other = Space(tmp_path / "clean", tmp_path / "clean-store")
    shutil.copytree(space.project, other.project, ignore=shutil.ignore_patterns("artifacts"))
    other.build()
    assert runs.artifacts(space) == runs.artifacts(other)
    assert runs.leftovers(space) == []
    assert space.build().run.executed == []


def test_too_many_open_files(space: Space) -> None:
    found = subprocess.run(
        runs.command(space, "--jobs", "1"),
        cwd=runs.REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)),
    )
    assert found.returncode in (0, 1, 5), found.stderr[-2000:]
    assert "Traceback" not in found.stderr, found.stderr[-2000:]
    assert space.build().exit == 0


def test_a_clock_that_goes_back(space: Space) -> None:
    space.build()
    clean = runs.artifacts(space)
    space.weights([[1.1, 2.5], [3.1, -4.7], [0.3, 0.25]])
    result = runs.build(space, "--earlier", "7200")
    assert result.status == 0, result.errors
    assert runs.artifacts(space) != clean
    space.weights([[1.1, 2.3], [3.1, -4.7], [0.3, 0.25]])
    assert runs.build(space, "--earlier", "7200").executed == []
    assert runs.artifacts(space) == clean


def test_each_flipped_byte_is_listed_and_made_good(space: Space) -> None:
    space.build()
    clean = runs.artifacts(space)
    store = Store(space.store)
    files = sorted(p for p in (space.store / "files").glob("??/*"))
    for file in files:
        data = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        index = Index(space.store)
        listed = {d.digest.partition(":")[2] for d in Collector(space.store, store, index).verify()}
        index.close()
        assert file.name in listed, file
        file.write_bytes(data)
        file.chmod(0o444)
    for file in files[::6]:
        data = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        shutil.rmtree(space.project / "artifacts")
        assert space.build().exit == 0
        assert runs.artifacts(space) == clean
