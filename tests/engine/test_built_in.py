"""Steps that need no toolchain run in workers too: they end on time, within memory, and have logs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.output import Output
from buildsys.engine.events import ActionFinished
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor
from buildsys.engine.executors.processes import tree
from buildsys.engine.executors.processes.hosts import FORKS
from buildsys.engine.executors.processes.memory import memory
from buildsys.engine.executors.processes.tree import descendants, kill_tree, table
from buildsys.engine.run import Settings
from buildsys.planner.graph import Action
from buildsys.planner.verification.data import DRAW
from buildsys.planner.workers import host_worker
from buildsys.store import Store
from buildsys.verify.outputs.array_sizes import array_bytes
from tests.space import Space

MIB = 1 << 20
PORT = {
    "name": "x",
    "shape": ["N", 3],
    "dims": {"N": {"example": 1}},
    "dtype": "float32",
    "range": None,
}


def drawing(count: int, **given: Any) -> Job:
    """A step that draws random rows: ten seconds and more for 200 million."""
    options = {"ports": [PORT], "random": "normal", "count": count, "seed": 0}
    outputs = (Output("samples", "samples.npz"),)
    action = Action("m#data.sample", "data.sample", host_worker(DRAW), None, {}, options, outputs)
    return Job.of(action, "ab" * 32, {}, None, None, 1, **{"timeout": 60.0, **given})


def failed(outcome: object) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


@pytest.mark.parametrize("warm", [True, False])
def test_a_built_in_step_runs_in_a_worker_with_a_log_and_a_peak(store: Store, warm: bool) -> None:
    executor = LocalExecutor(store, warm=warm)
    outcomes = [executor.run(drawing(count)) for count in (4, 5)]
    for outcome in outcomes:
        assert isinstance(outcome, Done), outcome
        assert outcome.peak_rss > MIB
        assert outcome.log.parent == store.root / "logs"
    # One host, and a child for each; or a process for each.
    assert executor.processes_started == (3 if warm and FORKS else 2)
    executor.close()


def test_a_timeout_ends_a_built_in_step_and_no_other(store: Store) -> None:
    executor = LocalExecutor(store)
    assert isinstance(executor.run(drawing(1)), Done)
    found: list[Failed] = []
    long = threading.Thread(
        target=lambda: found.append(failed(executor.run(drawing(2 * 10**8, timeout=1.0))))
    )
    long.start()
    assert isinstance(executor.run(drawing(2)), Done)  # Does not wait for the long one.
    assert not found
    long.join()
    assert found[0].message == "killed after 1 s"
    assert found[0].rerun is not None
    executor.close()


def test_stopping_a_build_ends_a_built_in_step(store: Store) -> None:
    executor = LocalExecutor(store)
    found: list[Failed] = []
    thread = threading.Thread(target=lambda: found.append(failed(executor.run(drawing(2 * 10**8)))))
    thread.start()
    while executor.processes_started < (2 if FORKS else 1):
        time.sleep(0.01)
    executor.stop()
    thread.join(20)
    assert [each.message for each in found] == ["the build was stopped"]


@pytest.mark.parametrize("warm", [True, False])
def test_a_step_that_takes_too_much_memory_is_killed(store: Store, warm: bool) -> None:
    executor = LocalExecutor(store, warm=warm)
    outcome = failed(executor.run(drawing(2 * 10**8, memory=150 * MIB)))
    assert outcome.message.startswith("killed: it took 0.")
    assert outcome.message.endswith(" of memory, above the limit of 0.15 GiB")
    assert outcome.hint == "raise `--memory`, or `memory` in config.toml"
    assert not outcome.environment
    assert isinstance(executor.run(drawing(4, memory=150 * MIB)), Done)
    executor.close()


def test_a_build_says_the_same_and_goes_on_with_the_rest(space: Space) -> None:
    """`--memory` and `--timeout` reach the steps that have no toolchain."""
    text = "samples: {random: normal, count: 200000000}"
    space.edit("deploy.yaml", "samples: {dataset: val, count: 8}", text)
    for settings, message in (
        (Settings(jobs=2, max_failures=None, memory=200 * MIB), "above the limit of 0.20 GiB"),
        (Settings(jobs=2, max_failures=None, timeout=1), "killed after 1 s"),
    ):
        with space.session() as session:
            build = session.build(["ios/m.onnx"], settings=settings)
        assert build.exit == 1
        # On a busy machine, other steps may take longer than a second too.
        (name,) = (name for name in build.run.failures if name.endswith("data.sample"))
        assert message in build.run.failures[name].message
        log = build.run.failures[name].log
        assert log is not None
        assert log.exists()


def test_every_step_that_ran_says_what_memory_it_took(space: Space) -> None:
    build = space.build()
    assert build.exit == 0
    ended = [e.to_json() for e in space.events if isinstance(e, ActionFinished)]
    assert {"data.sample", "verify.measure"} <= {fields["rule"] for fields in ended}
    assert all(fields["peak_rss_bytes"] > MIB for fields in ended)
    # Two environments: the model's, and ours. A host each, and a child a step.
    assert build.processes == len(build.run.executed) + (2 if FORKS else 0)
    assert set(build.run.logs) == set(build.run.executed)


def inflated(path: Path, rows: int) -> None:
    """An archive of a few KB that holds `rows` rows of three floats, all of them zero."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (rows, 3)}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as stream,
    ):
        stream.write(header.getvalue())
        for _ in range(rows // MIB):
            stream.write(bytes(12 * MIB))


def test_an_archive_that_inflates_is_refused_before_it_is_read(space: Space) -> None:
    path = space.project / "train.npz"
    inflated(path, 16 * MIB)
    assert path.stat().st_size < MIB
    assert array_bytes(path) == 16 * MIB * 12
    space.edit("deploy.yaml", "quantization: half", "quantization: int8")
    with space.session() as session:
        settings = Settings(jobs=1, memory=150 * MIB)
        build = session.build(["android/m.tflite-int8"], settings=settings)
    (failure,) = build.run.failures.values()
    assert failure.message == (
        "the arrays of the dataset take 0.2 GiB of memory, of which there are 0.1 GiB"
    )
    assert failure.field == "source"


def test_sizes_of_arrays_are_told_from_their_headers(tmp_path: Path) -> None:
    plain, packed, bad = tmp_path / "a.npy", tmp_path / "a.npz", tmp_path / "bad.npz"
    np.save(plain, np.zeros((5, 4), np.int16))
    np.savez_compressed(packed, a=np.zeros((5, 4)), b=np.zeros(3, np.int8), c=np.float32(1))
    assert array_bytes(plain) == 40
    assert array_bytes(packed) == 160 + 3 + 4
    whole = packed.read_bytes()
    for data in (b"", b"PK\x03\x04", whole[: len(whole) // 2], b"\x93NUMPY\x01\x00\xff\xff"):
        bad.write_bytes(data)
        assert array_bytes(bad) == 0


def test_memory_is_that_of_a_process_and_all_that_it_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "data = bytearray(b'x') * (64 << 20)\n"
        "if sys.argv[1] == '0':\n"
        "    subprocess.Popen([sys.executable, '-c', sys.argv[2], '1', ''], start_new_session=True)\n"
        "print(flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, "0", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        started = descendants(process.pid, table())
        assert len(started) == 2
        for limit in (0, 1 << 40):  # Exactly, and roughly.
            assert 128 * MIB < memory(process.pid, table(), limit) < 200 * MIB
        kill_tree(process.pid)
    assert all(not _runs(each.pid) for each in started)


def test_where_there_is_no_proc_the_table_comes_from_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "HAS_PROC", False)
    (mine,) = [each for each in table() if each.pid == os.getpid()]
    assert mine.parent == os.getppid()
    assert mine.rss > MIB


def _runs(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True
