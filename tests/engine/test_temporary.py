"""Temporary files of steps: by a short name, gone with the step, and with a build that was killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildsys.backends.output import Output
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor
from buildsys.engine.executors import temporary as module
from buildsys.engine.executors.temporary import LONGEST, TemporaryFolders, sweep, unfit
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store
from tests.support import toolchain

WORKER = """\
import multiprocessing
import os
import tempfile
from multiprocessing import resource_sharer


def double(value):
    return 2 * value


def share(request):
    '''What a DataLoader does: processes, a manager, and descriptors that go through a socket.'''
    with multiprocessing.Manager() as manager:
        shared = manager.list([1, 2])
        with multiprocessing.Pool(2) as pool:
            found = pool.map(double, list(shared))
    reading, writing = os.pipe()
    os.write(writing, b"told")
    copy = resource_sharer.DupFd(reading).detach()
    said = os.read(copy, 4).decode()
    resource_sharer.stop()
    request.outputs["artifact"].write_text(f"{found} {said} {tempfile.gettempdir()}")


def load(request):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    rows = TensorDataset(torch.arange(6.0))
    found = [row.tolist() for (row,) in DataLoader(rows, batch_size=2, num_workers=2)]
    request.outputs["artifact"].write_text(str(found))


def fail(request):
    share(request)
    open(os.path.join(tempfile.gettempdir(), "left"), "w").close()
    os.abort()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name."""
    import shutil
    import tempfile

    made = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / ("a-store-in-a-folder-with-a-long-name-" * 2))


def job(tmp_path: Path, function: str, python: str = sys.executable) -> Job:
    folder = tmp_path / "probe"
    folder.mkdir(exist_ok=True)
    (folder / "worker.py").write_text(WORKER)
    worker = Worker(f"worker:{function}", "probe", folder, ())
    outputs = (Output("artifact", "out.txt"),)
    action = Action("m#probe", "probe.step", worker, "host", {}, {}, outputs)
    return Job.of(action, "ab" * 32, {}, Path(python), None, 1, 60.0)


@pytest.mark.parametrize("warm", [True, False])
def test_processes_share_descriptors_whatever_the_name_of_the_store(
    store: Store, tmp_path: Path, warm: bool
) -> None:
    executor = LocalExecutor(store, warm=warm)
    assert len(str(store.root)) > 60
    outcome = executor.run(job(tmp_path, "share"))
    assert isinstance(outcome, Done), outcome
    text = store.read(outcome.outputs["artifact"].digest).decode()
    found, _, temporary = text.rpartition(" ")
    assert found == "[2, 4] told"
    assert len(temporary) <= LONGEST + 16
    assert not Path(temporary).exists()
    executor.close()
    assert not Path(temporary).parent.exists()


@pytest.mark.toolchain
def test_a_data_loader_with_workers_does_not_hang(store: Store, tmp_path: Path) -> None:
    executor = LocalExecutor(store)
    outcome = executor.run(job(tmp_path, "load", str(toolchain.python("torch"))))
    assert isinstance(outcome, Done), outcome
    found = store.read(outcome.outputs["artifact"].digest).decode()
    assert found == "[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]"
    executor.close()


def test_a_step_that_failed_leaves_no_temporary_files_and_runs_again_by_hand(
    store: Store, tmp_path: Path
) -> None:
    executor = LocalExecutor(store)
    outcome = executor.run(job(tmp_path, "fail"))
    assert isinstance(outcome, Failed)
    assert outcome.message == "killed by SIGABRT"
    executor.close()
    before = set(Path(module.candidates()[0]).iterdir())
    assert outcome.rerun is not None
    again = subprocess.run([outcome.rerun], capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == -signal.SIGABRT
    out = outcome.rerun.parent / "out" / "out.txt"
    assert out.read_text().startswith("[2, 4] told ")
    assert not Path(out.read_text().rpartition(" ")[2]).exists()
    assert {e for e in set(module.candidates()[0].iterdir()) - before if "rerun" in e.name} == set()


def test_what_a_killed_build_left_goes_and_what_a_running_one_uses_stays(place: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from buildsys.engine.executors.temporary import TemporaryFolders\n"
        "made = TemporaryFolders([Path(sys.argv[1])]).make(Path('/nowhere'))\n"
        "(made / 'big').write_text('x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(place)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    theirs = place / "mb-notours1"  # Somebody else's folder of such a name.
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    first, second = TemporaryFolders([place]), TemporaryFolders([place])
    used = first.make(Path("/nowhere"))
    assert not left.exists()
    (used / "file").write_text("used")
    assert second.make(Path("/nowhere")).parent != used.parent
    sweep(place)
    assert (used / "file").read_text() == "used"
    first.close()
    second.close()
    assert list(place.iterdir()) == [theirs]
    assert (theirs / "file").read_text() == "mine"


def test_a_folder_that_somebody_cleaned_up_is_made_again(place: Path) -> None:
    folders = TemporaryFolders([place])
    first = folders.make(Path("/nowhere"))
    folders.give_back(first)
    (first.parent / module.MARKER).unlink()
    first.parent.rmdir()
    assert folders.make(Path("/nowhere")).is_dir()
    folders.close()


def test_a_place_that_cannot_be_used_is_told(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    long = tmp_path / ("x" * LONGEST)
    long.mkdir()
    folders = TemporaryFolders([long, place / "none", place], told.append)
    assert folders.make(Path("/nowhere")).parent.parent == place
    folders.make(Path("/nowhere"))
    assert told == [
        f"temporary files of steps go to {place}; not to {long}: its name is too long for the "
        f"sockets that are made in it; not to {place / 'none'}: no such file or directory"
    ]
    folders.close()
    monkeypatch.setattr(module, "ROOM", 1 << 62)
    assert unfit(place) == "its disk is full"
    own = tmp_path / "own"
    assert TemporaryFolders([place], told.append).make(own) == own
    assert own.is_dir()
    assert "set TMPDIR to a folder with a short name" in told[-1]


def test_a_socket_fits_below_the_longest_place(place: Path) -> None:
    """As `multiprocessing` names it, in the 99,999th step of a build."""
    long = place / ("x" * (LONGEST - len(str(place)) - 1))
    long.mkdir()
    assert unfit(long) is None
    assert unfit(Path(f"{long}y")) is not None
    folders = TemporaryFolders([long])
    own = folders.make(Path("/nowhere")).with_name("99999") / "pymp-12345678"
    own.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(own / "listener-12345678"))
        assert len(listener.getsockname()) == 103
    folders.close()


def test_the_users_own_choice_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/mine")
    assert module.candidates()[:2] == [Path("/mine"), Path("/tmp")]
    monkeypatch.delenv("TMPDIR")
    assert module.candidates()[0] == Path("/tmp")
    assert os.path.isabs(module.candidates()[0])
