"""What steps leave behind ends with them, and who kills a host is found out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildsys.backends.output import Output
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor, Outcome
from buildsys.engine.executors.processes.hosts import FORKS
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store

pytestmark = pytest.mark.skipif(not FORKS, reason="daemons are found on Linux alone")

WORKER = """\
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def daemon(name, clean=False):
    '''Forks twice, with a session of its own in between, and writes its number.'''
    path = HERE / name
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            path.with_suffix(".new").write_text(str(os.getpid()))
            path.with_suffix(".new").rename(path)
            code = "import time; time.sleep(600)"
            os.execve(sys.executable, [sys.executable, "-c", code], {} if clean else os.environ)
        os._exit(0)
    os.wait()
    while not path.exists():
        time.sleep(0.01)


def wait_for(name):
    while not (HERE / name).exists():
        time.sleep(0.01)


def made(request):
    request.outputs["artifact"].write_text(str(os.getppid()))


def ends(request):
    daemon("first", clean=True)
    daemon("second")
    made(request)


def crashes(request):
    daemon("first", clean=request.options["clean"])
    os.abort()


def hangs(request):
    daemon("first", clean=request.options["clean"])
    time.sleep(600)


def grows(request):
    daemon("first", clean=request.options["clean"])
    data = []
    while True:
        data.append(b"x" * (1 << 20) * (1 + len(data) % 2))
        time.sleep(0.001)


def kills_once(request):
    '''Kills its host, but for the second time.'''
    daemon("first")
    if not (HERE / "killed").exists():
        wait_for("running")
        (HERE / "killed").write_text("")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    made(request)


def kills(request):
    wait_for("running")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def innocent(request):
    '''Is at work when the host dies, and has written something by then.'''
    if not (HERE / "running").exists():
        request.outputs["artifact"].write_text("half")
        (HERE / "running").write_text("")
        time.sleep(600)
    if os.path.exists(request.outputs["artifact"]):
        raise ValueError("the folder is not empty")
    made(request)


def stays(request):
    '''A neighbor that goes on while others end.'''
    daemon("mine")
    (HERE / "running").write_text("")
    wait_for("enough")
    pid = int((HERE / "mine").read_text())
    os.kill(pid, 0)
    made(request)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The backend, where its daemons write their numbers."""
    made = tmp_path / "probe"
    made.mkdir()
    (made / "worker.py").write_text(WORKER)
    yield made
    for name in ("first", "second", "mine"):  # Where a test fails, nothing stays.
        if (made / name).exists():
            try:
                os.kill(int((made / name).read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue


def job(
    folder: Path,
    function: str,
    timeout: float = 60.0,
    clean: bool = False,
    memory: int | None = None,
) -> Job:
    worker = Worker(f"worker:{function}", "probe", folder, ())
    outputs = (Output("artifact", "out.txt"),)
    action = Action("m#probe", "probe.step", worker, "host", {}, {"clean": clean}, outputs)
    python = Path(sys.executable)
    return Job.of(action, "ab" * 32, {}, python, None, 1, timeout, memory=memory)


def alive(folder: Path, name: str) -> bool:
    """Whether a daemon still runs."""
    pid = int((folder / name).read_text())
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(folder: Path, name: str) -> bool:
    """Whether it has ended, soon: the kernel takes a moment."""
    for _ in range(100):
        if not alive(folder, name):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("warm", [True, False])
def test_daemons_end_with_the_step_that_started_them(
    store: Store, folder: Path, warm: bool
) -> None:
    executor = LocalExecutor(store, warm=warm)
    outcome = executor.run(job(folder, "ends"))
    assert isinstance(outcome, Done), outcome
    assert not alive(folder, "first")
    assert not alive(folder, "second")
    executor.close()


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize(
    ("function", "message"),
    [("crashes", "killed by SIGABRT"), ("hangs", "killed after 3 s"), ("grows", "killed: it took")],
)
def test_daemons_of_a_step_that_ends_badly_end_too(
    store: Store, folder: Path, warm: bool, function: str, message: str
) -> None:
    executor = LocalExecutor(store, warm=warm)
    # Where a process of its own crashes, only its variables tell whose a daemon was.
    clean = warm or function != "crashes"
    limit = (150 << 20) if function == "grows" else None
    timeout = 3.0 if function == "hangs" else 60.0
    outcome = executor.run(job(folder, function, timeout, clean, limit))
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith(message)
    assert gone(folder, "first")
    executor.close()


@pytest.mark.parametrize("how", ["close", "stop"])
def test_daemons_end_with_the_build(store: Store, folder: Path, how: str) -> None:
    executor = LocalExecutor(store)
    thread = threading.Thread(target=lambda: executor.run(job(folder, "hangs", clean=True)))
    thread.start()
    while not (folder / "first").exists():
        time.sleep(0.01)
    getattr(executor, how)()
    thread.join(20)
    assert not thread.is_alive()
    assert gone(folder, "first")
    executor.close()


def test_daemons_end_with_a_build_that_is_killed(store: Store, folder: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.engine.test_leftovers import job\n"
        "from buildsys.engine.executors import LocalExecutor\n"
        "from buildsys.store import Store\n"
        "LocalExecutor(Store(Path(sys.argv[1]))).run(job(Path(sys.argv[2]), 'hangs', 600, True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root), str(folder)], cwd=Path(__file__).parents[2]
    )
    while not (folder / "first").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert gone(folder, "first")


def test_what_a_neighbor_has_started_stays(store: Store, folder: Path) -> None:
    executor = LocalExecutor(store)
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(executor.run(job(folder, "stays"))))
    thread.start()
    while not (folder / "running").exists():
        time.sleep(0.01)
    assert isinstance(executor.run(job(folder, "ends")), Done)
    assert not alive(folder, "first")
    assert alive(folder, "mine")
    (folder / "enough").write_text("")
    thread.join(20)
    assert isinstance(found[0], Done), found
    assert not alive(folder, "mine")
    executor.close()


def both(executor: LocalExecutor, folder: Path, culprit: str) -> tuple[Outcome, Outcome]:
    """Runs a step that kills its host, with another beside it."""
    found: dict[str, Outcome] = {}

    def run(function: str) -> None:
        found[function] = executor.run(job(folder, function))

    threads = [threading.Thread(target=run, args=(name,)) for name in (culprit, "innocent")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found[culprit], found["innocent"]


def test_a_step_that_kills_its_host_fails_and_its_neighbor_does_not(
    store: Store, folder: Path
) -> None:
    told: list[str] = []
    executor = LocalExecutor(store, warn=told.append)
    culprit, innocent = both(executor, folder, "kills")
    assert isinstance(innocent, Done), innocent
    assert isinstance(culprit, Failed)
    assert culprit.message == (
        "the process that hosts the host's own environment was killed by SIGKILL, "
        "and again with this step alone in it: the step ends it"
    )
    assert not culprit.environment
    assert culprit.log is not None
    assert culprit.rerun is not None
    # A host and two children; then a host and a child for each of the two. The second time the
    # culprit may end its host before that has told of its child.
    assert executor.processes_started in (3 + 3, 3 + 4)
    assert told == 2 * [
        "the process that hosts the host's own environment was killed by SIGKILL; "
        "`probe.step` runs again, in one of its own"
    ]
    # One folder is kept: that of the culprit.
    assert len(list((store.root / "work").glob("*/rerun.sh"))) == 1
    executor.close()


def test_a_host_that_was_killed_once_costs_another_try(store: Store, folder: Path) -> None:
    executor = LocalExecutor(store)
    once, innocent = both(executor, folder, "kills_once")
    assert isinstance(once, Done), once
    assert isinstance(innocent, Done), innocent
    assert executor.processes_started == 3 + 4
    assert gone(folder, "first")
    executor.close()
