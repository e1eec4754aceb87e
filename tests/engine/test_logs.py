"""Logs of steps: whole where they are short, capped where they are not, whoever writes to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildsys import capped_log as capped
from buildsys.backends.output import Output
from buildsys.capped_log import CappedLog
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor
from buildsys.engine.executors.logs import Logs
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store

WORKER = """\
import os
import subprocess
import sys


def loud(request):
    '''Three times what is kept, by this process and by one that it starts.'''
    print("the first line")
    for number in range(150):
        os.write(1, b"a" * 100_000)
    code = "import os\\nfor _ in range(100): os.write(2, b'b' * 100_000)"
    subprocess.run([sys.executable, "-c", code], check=True)
    print("the last line")
    request.outputs["artifact"].write_text("made")


def quiet(request):
    print("said")
    print("and warned", file=sys.stderr)
    request.outputs["artifact"].write_text("made")


def silent(request):
    request.outputs["artifact"].write_text("made")


def babbler(request):
    '''Leaves a process that never stops writing, in a session of its own.'''
    code = "import os\\nwhile True: os.write(1, b'x' * 4096)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    silent(request)


def fails(request):
    loud(request)
    os.abort()
"""


def job(tmp_path: Path, function: str) -> Job:
    folder = tmp_path / "probe"
    folder.mkdir(exist_ok=True)
    (folder / "worker.py").write_text(WORKER)
    worker = Worker(f"worker:{function}", "probe", folder, ())
    outputs = (Output("artifact", "out.txt"),)
    action = Action("m#probe", "probe.step", worker, "host", {}, {}, outputs)
    return Job.of(action, "ab" * 32, {}, Path(sys.executable), None, 1, 60.0)


def log(outcome: object) -> bytes:
    assert isinstance(outcome, Done | Failed), outcome
    assert outcome.log is not None
    return outcome.log.read_bytes()


@pytest.mark.parametrize("warm", [True, False])
def test_a_log_is_whole_where_it_is_short(store: Store, tmp_path: Path, warm: bool) -> None:
    executor = LocalExecutor(store, warm=warm)
    assert log(executor.run(job(tmp_path, "quiet"))) == b"said\nand warned\n"
    assert log(executor.run(job(tmp_path, "silent"))) == b""
    executor.close()


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("function", ["loud", "fails"])
def test_a_long_log_keeps_its_beginning_and_its_end(
    store: Store, tmp_path: Path, warm: bool, function: str
) -> None:
    executor = LocalExecutor(store, warm=warm)
    text = log(executor.run(job(tmp_path, function)))
    assert text.startswith(b"the first line\naaa")
    assert text.endswith(b"bbbthe last line\n")
    left_out = 25_000_000 + len("the first line\nthe last line\n") - capped.LIMIT
    said = f"\n[modelbuild: {left_out:,} bytes are left out here]\n".encode()
    assert text.count(said) == 1
    assert len(text) == capped.LIMIT + len(said)
    assert text.index(said) == capped.HEAD
    executor.close()


def test_what_a_step_leaves_behind_writes_no_log_for_ever(store: Store, tmp_path: Path) -> None:
    executor = LocalExecutor(store)
    outcome = executor.run(job(tmp_path, "babbler"))
    assert isinstance(outcome, Done)
    size = outcome.log.stat().st_size
    assert log(executor.run(job(tmp_path, "quiet"))) == b"said\nand warned\n"
    time.sleep(0.1)
    assert outcome.log.stat().st_size in (size, len(b"said\nand warned\n"))  # One key, one log.
    executor.close()


@pytest.mark.parametrize("chunk", [1, 7, 1000, 100_000])
def test_what_is_kept_does_not_depend_on_how_it_came(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capped, "HEAD", 100)
    monkeypatch.setattr(capped, "TAIL", 700)
    monkeypatch.setattr(capped, "LIMIT", 800)
    for size in (0, 99, 100, 799, 800, 801, 900, 1500, 1501, 5000):
        data = bytes(33 + n % 90 for n in range(size))
        made = CappedLog(tmp_path / "log.txt")
        for start in range(0, size, chunk):
            made.write(data[start : start + chunk])
        made.close()
        found = (tmp_path / "log.txt").read_bytes()
        if size <= 800:
            assert found == data
        else:
            note = f"\n[modelbuild: {size - 800:,} bytes are left out here]\n".encode()
            assert found == data[:100] + note + data[-700:]


def test_a_full_disk_costs_the_rest_of_the_log_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from buildsys.capped_log import CappedLog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log = CappedLog(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "for _ in range(100):\n"
        "    log.write(b'x' * 200_000)\n"
        "log.close()\n"
    )
    target = tmp_path / "log.txt"
    command = [sys.executable, "-c", code, str(target)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    assert target.read_bytes() == b"x" * 1000


def test_many_logs_at_once(tmp_path: Path) -> None:
    logs = Logs()
    recordings = [(n, logs.begin(tmp_path / f"{n}.txt", tmp_path / f"{n}.pipe")) for n in range(40)]
    writers = [(tmp_path / f"{n}.pipe").open("wb", buffering=0) for n, _ in recordings]
    for turn in range(50):
        for n, writer in enumerate(writers):
            writer.write(f"{turn}:{n}\n".encode() * 20)
    for writer, (_, recording) in zip(writers, recordings, strict=True):
        writer.close()
        logs.end(recording)
    for n, _ in recordings:
        expected = "".join(f"{turn}:{n}\n" * 20 for turn in range(50))
        assert (tmp_path / f"{n}.txt").read_text() == expected
    assert not list(tmp_path.glob("*.pipe"))
    assert os.listdir(tmp_path)
