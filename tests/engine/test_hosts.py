"""One host an environment: what it shares, what it must not share, and how it comes to its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from buildsys.backends.output import Output
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor, Outcome
from buildsys.engine.executors.processes.hosts import FORKS
from buildsys.engine.executors.variables import worker_environment
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store
from tests.fakes.numeric.rules import HERE
from tests.space import Space

pytestmark = pytest.mark.skipif(not FORKS, reason="hosts are for Linux")

WORKER = """\
import os
import signal
import sys
import tempfile
import time
import warnings

from ..kit.protocol.request import Request

COUNT = [0]
PRELOAD = {"seen": ("colorsys", "no_such_module"), "draw": ("numpy.random",)}
HOME = os.path.expanduser("~")
tempfile.gettempdir()


def tell(request, text):
    request.outputs["artifact"].write_text(str(text))


def pid(request: Request) -> None:
    tell(request, os.getppid())


def count(request: Request) -> None:
    COUNT[0] += 1
    os.environ["LEAK"] = "1"
    os.chdir("/")
    sys.path.append("/leak")
    tempfile.gettempdir()
    warnings.simplefilter("error")
    tell(request, COUNT[0])


def seen(request: Request) -> None:
    import json
    tell(request, json.dumps({
        "environment": dict(os.environ),
        "cwd": os.getcwd(),
        "temporary": tempfile.gettempdir(),
        "path": sys.path,
        "argv": sys.argv[1:],
        "late": "colorsys" in sys.modules,
        "leader": os.getsid(0) == os.getpid() == os.getpgid(0),
    }))


def crash(request: Request) -> None:
    print("about to crash", flush=True)
    os.abort()


def killed(request: Request) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_host(request: Request) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def hang(request: Request) -> None:
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)


def thread(request: Request) -> None:
    tell(request, "ok")


def draw(request: Request) -> None:
    import numpy.random
    tell(request, numpy.random.random())


def home(request: Request) -> None:
    with open(os.path.join(HOME, "cache"), "a") as stream:
        stream.write("x")
    tell(request, os.path.getsize(os.path.join(HOME, "cache")))
"""

Make = Callable[..., Job]


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """A third party's backend."""
    folder = tmp_path / "plugins" / "probe"
    folder.mkdir(parents=True)
    (folder / "worker.py").write_text(WORKER)
    return folder


@pytest.fixture
def make(backend: Path) -> Make:
    """Makes a job of a function of the probe."""

    def make(
        function: str,
        *,
        folder: Path = backend,
        project: Path | None = None,
        timeout: float = 60.0,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, tuple[Path | None, str]] | None = None,
        threads: int = 1,
    ) -> Job:
        function = function if ":" in function else f"worker:{function}"
        worker = Worker(function, folder.name, folder, ())
        action = Action(
            f"m#{function}",
            "probe.step",
            worker,
            "host",
            {},
            dict(options or {}),
            (Output("artifact", "out.txt"),),
            user_code=project is not None,
        )
        python = Path(sys.executable)
        return Job.of(action, "ab" * 32, inputs or {}, python, project, threads, timeout)

    return make


def text(store: Store, outcome: Outcome) -> str:
    assert isinstance(outcome, Done), outcome
    return store.read(outcome.outputs["artifact"].digest).decode()


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def _ps(columns: str, marker: str, of: int | None = None) -> list[str]:
    which = ["-e"] if of is None else ["--ppid", str(of)]
    command = ["ps", "-ww", *which, "-o", columns]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if marker in line]


def alive(marker: str) -> list[str]:
    """Processes whose command line holds `marker`."""
    return _ps("args=", marker)


def gone(marker: str) -> bool:
    """Whether none is left, soon."""
    for _ in range(100):
        if not alive(marker):
            return True
        time.sleep(0.05)
    return False


def test_one_host_does_many_actions(executor: LocalExecutor, store: Store, make: Make) -> None:
    parents = {text(store, executor.run(make("pid"))) for _ in range(5)}
    assert len(parents) == 1
    assert parents != {str(os.getpid())}
    assert executor.processes_started == 6


def test_several_threads_share_a_host(executor: LocalExecutor, store: Store, make: Make) -> None:
    parents: list[str] = []

    def run() -> None:
        parents.append(text(store, executor.run(make("pid"))))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parents) == 8
    assert len(set(parents)) == 1


def test_a_cold_executor_has_no_host(store: Store, make: Make) -> None:
    executor = LocalExecutor(store, warm=False)
    for _ in range(2):
        assert text(store, executor.run(make("pid"))) == str(os.getpid())
    assert executor.processes_started == 2


def test_nothing_leaks_from_action_to_action(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    """Module state, variables, current directory, temporary folder, search path; nor from the host."""
    counts = [text(store, executor.run(make("count"))) for _ in range(3)]
    assert counts == ["1", "1", "1"]
    job = make("seen", threads=2)
    seen = json.loads(text(store, executor.run(job)))
    scratch = Path(seen["cwd"])
    assert scratch.name == "scratch"
    temporary = Path(seen["temporary"])
    assert seen["environment"] == worker_environment(
        Path(sys.executable), 2, scratch.parent, temporary
    )
    assert len(seen["temporary"]) < 60 < len(str(scratch))
    assert not temporary.exists()
    assert seen["argv"] == [str(scratch.parent / "request.json")]
    assert seen["leader"]
    cold = json.loads(text(store, LocalExecutor(store, warm=False).run(job)))
    assert seen["path"] == cold["path"]
    assert (seen["late"], cold["late"]) == (True, False)


def test_two_actions_do_not_draw_the_same_numbers(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    assert len({text(store, executor.run(make("draw"))) for _ in range(3)}) == 3


def test_a_crash_takes_one_action(executor: LocalExecutor, store: Store, make: Make) -> None:
    before = text(store, executor.run(make("pid")))
    crash = failed(executor.run(make("crash")))
    assert crash.message == "killed by SIGABRT"
    assert not crash.environment
    assert crash.log is not None
    assert "about to crash" in crash.log.read_text()
    assert crash.rerun is not None
    again = subprocess.run([crash.rerun], capture_output=True, text=True, check=False)
    assert again.returncode == -signal.SIGABRT
    assert "about to crash" in again.stdout
    assert text(store, executor.run(make("pid"))) == before


@pytest.mark.parametrize("warm", [True, False])
def test_a_step_that_is_killed_from_outside_may_be_tried_again(
    store: Store, make: Make, warm: bool
) -> None:
    executor = LocalExecutor(store, warm=warm)
    killed = failed(executor.run(make("killed")))
    assert killed.environment
    assert killed.message == "killed by SIGKILL, in the host's own environment"
    assert killed.hint is not None
    assert "-j1" in killed.hint
    executor.close()


def test_a_host_that_dies_takes_what_runs_in_it_and_no_more(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    before = text(store, executor.run(make("pid")))
    lost = failed(executor.run(make("kill_host")))
    assert not lost.environment
    assert lost.message.startswith(
        "the process that hosts the host's own environment was killed by SIGKILL, and again"
    )
    assert gone(f"{store.root}/work/host-")
    assert text(store, executor.run(make("pid"))) not in (before, str(os.getpid()))


def test_a_timeout_kills_the_child_and_what_it_started(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    before = text(store, executor.run(make("pid")))
    started = time.monotonic()
    slow = failed(executor.run(make("hang", timeout=1.0)))
    assert time.monotonic() - started < 20
    assert slow.message == "killed after 1 s"
    assert not slow.environment
    assert text(store, executor.run(make("pid"))) == before
    assert len(alive(str(store.root))) == 1


def test_an_import_that_hangs_is_killed(
    executor: LocalExecutor, store: Store, make: Make, backend: Path
) -> None:
    (backend / "slow.py").write_text("import time\ntime.sleep(600)\n")
    slow = failed(executor.run(make("slow:run", timeout=1.0)))
    assert slow.environment
    assert slow.message == "the host's own environment was not ready within 1 s"
    assert gone(str(store.root))


def test_an_import_that_fails_is_told_as_by_a_process_of_its_own(
    store: Store, make: Make, backend: Path
) -> None:
    (backend / "broken.py").write_text("import nowhere\n")
    (backend / "fatal.py").write_text("import os\nos.abort()\n")
    # As numpy does: an extension module cannot be loaded a second time.
    (backend / "once.py").write_text(
        "import builtins\nassert not hasattr(builtins, 'TRIED'), 'loaded twice'\n"
        "builtins.TRIED = True\nimport nowhere\n"
    )
    for name, message in (
        ("broken", "the environment of this step has no module `nowhere`"),
        ("once", "the environment of this step has no module `nowhere`"),
        ("fatal", "killed by SIGABRT"),
    ):
        told = []
        for warm in (True, False):
            executor = LocalExecutor(store, warm=warm)
            told.append(failed(executor.run(make(f"{name}:run"))))
            executor.close()
        assert told[0].message == told[1].message == message
        assert told[0].hint == told[1].hint


def test_threads_after_the_imports_make_an_environment_cold(
    executor: LocalExecutor, store: Store, make: Make, backend: Path
) -> None:
    lines = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True)"
    (backend / "pool.py").write_text(f"{lines}.start()\nfrom .worker import pid\n")
    assert text(store, executor.run(make("pool:pid"))) == str(os.getpid())
    assert executor.processes_started == 2
    assert text(store, executor.run(make("pid"))) == str(os.getpid())
    assert executor.processes_started == 3
    assert gone(f"{store.root}/work/host-")


def test_a_library_that_keeps_files_where_home_was_makes_an_environment_cold(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    sizes = [text(store, executor.run(make("home"))) for _ in range(3)]
    assert sizes == ["1", "1", "1"]


def test_what_imports_set_in_the_environment_is_the_same_for_all(
    executor: LocalExecutor, store: Store, make: Make, backend: Path
) -> None:
    lines = "import os\nos.environ['CACHE'] = os.environ['TMPDIR'] + '/cache'\n"
    (backend / "setting.py").write_text(f"{lines}from .worker import seen\n")
    for one in (executor, LocalExecutor(store, warm=False)):
        seen = json.loads(text(store, one.run(make("setting:seen"))))
        assert seen["environment"]["CACHE"] == seen["temporary"] + "/cache"


def test_two_third_parties_in_one_host(
    executor: LocalExecutor, store: Store, make: Make, backend: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "other"
    shutil.copytree(backend, other)
    (other / "worker.py").write_text(WORKER.replace("COUNT[0] += 1", "COUNT[0] += 7"))
    twin = tmp_path / "third" / "probe"  # Another folder under a name that is taken.
    shutil.copytree(other, twin)
    counts = [
        text(store, executor.run(make("count", folder=folder)))
        for folder in (backend, other, twin, backend)
    ]
    assert counts == ["1", "7", "7", "1"]
    assert executor.processes_started == 5


def test_a_module_of_the_projects_is_found_before_one_that_is_imported_already(
    store: Store, make: Make, backend: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "colorsys.py").write_text("MINE = True\n")
    lines = (
        "\n\ndef mine(request):\n    import colorsys\n    tell(request, hasattr(colorsys, 'MINE'))"
    )
    (backend / "worker.py").write_text(f"{WORKER}{lines}\nPRELOAD['mine'] = ('colorsys',)\n")
    for warm in (True, False):
        executor = LocalExecutor(store, warm=warm)
        assert text(store, executor.run(make("mine", project=project))) == "True"
        executor.close()


def test_the_same_is_discovered_warm_and_cold(tmp_path: Path, space: Space) -> None:
    """With a package that lies in nobody's folder of packages, as one in development does."""
    folder = tmp_path / "plugins" / "numeric"
    shutil.copytree(HERE, folder)
    shared = space.project.parent / "shared"
    shared.mkdir()
    (shared / "common.py").write_text("SCALE = 2\n")
    lines = f"import sys\nsys.path.append({str(shared)!r})\nimport common\nsys.path.pop()\n"
    worker = folder / "worker.py"
    plain = worker.read_text()
    imported = plain.replace("import numpy as np\n", f"import numpy as np\n{lines}", 1)
    found: list[dict[str, str]] = []
    for source in (plain, imported):
        worker.write_text(source)
        for warm in (True, False):
            executor = LocalExecutor(Store(tmp_path / f"store-{len(found)}"), warm=warm)
            found.append(_discovered(executor, space, folder))
            executor.close()
    assert set(found[0]) == {"./*.py", "model.py", "helper.py"}
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert set(found[2]) - set(found[0]) == {"../shared/common.py"}


def test_a_step_that_finds_all_imported_still_looked_into_the_project(
    store: Store, make: Make, backend: Path, tmp_path: Path
) -> None:
    lines = (
        "import sys, types\nsys.modules['safetensors'] = types.SimpleNamespace(safe_open=open)\n"
    )
    (backend / "full.py").write_text(f"{lines}from .worker import pid\n")
    project = tmp_path / "project"
    project.mkdir()
    for warm in (True, False):
        executor = LocalExecutor(store, warm=warm)
        outcome = executor.run(make("full:pid", project=project))
        assert isinstance(outcome, Done)
        assert list(outcome.discovered) == ["./*.py"]
        executor.close()


def _discovered(executor: LocalExecutor, space: Space, folder: Path) -> dict[str, str]:
    worker = Worker("worker:capture", "numeric", folder, ())
    options = {
        "source": {"factory": "model:build", "args": {"scale": 1.0}},
        "ports": [{"name": "x", "shape": ["N", 3], "dtype": "float32", "layout": None}],
        "outputs": ["y"],
    }
    outputs = (Output("artifact", "model.captured"), Output("io", "io.json"))
    action = Action("m#c", "c", worker, "host", {}, options, outputs, user_code=True)
    python = Path(sys.executable)
    found: dict[str, str] = {}
    for _ in range(2):
        outcome = executor.run(Job.of(action, "cd" * 32, {}, python, space.project, 1, 60.0))
        assert isinstance(outcome, Done), outcome
        found = outcome.discovered
    return found


def test_a_build_gives_the_same_bytes_warm_and_cold(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.build()
    warm = space.artifacts()
    monkeypatch.setattr("buildsys.engine.executors.local.FORKS", False)
    other = Space(space.project, tmp_path / "other")
    other.build()
    assert other.artifacts().keys() == warm.keys()
    for name in warm:
        if name.endswith((".plain", ".small", ".bin")):
            assert other.artifacts()[name] == warm[name]


def test_what_is_stopped_is_dead_and_stays_so(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(executor.run(make("hang"))))
    thread.start()
    for _ in range(200):
        if executor.processes_started == 2:
            break
        time.sleep(0.05)
    assert alive(str(store.root))
    executor.stop()
    thread.join(timeout=20)
    assert gone(str(store.root))
    assert [failed(o).message for o in outcomes] == ["the build was stopped"]
    assert failed(executor.run(make("pid"))).message == "the build was stopped"
    executor.close()
    executor.close()
    assert executor.processes_started == 2


def test_an_environment_that_retires_ends_when_its_actions_have(
    executor: LocalExecutor, store: Store, make: Make, backend: Path
) -> None:
    (backend / "later.py").write_text(
        "import time\nfrom .worker import pid\n\n\ndef late(request):\n    time.sleep(1)\n    pid(request)\n"
    )
    before = text(store, executor.run(make("pid")))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(executor.run(make("later:late"))))
    thread.start()
    while executor.processes_started < 3:
        time.sleep(0.01)
    executor.retire("host")
    executor.retire("host")
    executor.retire("never started")
    thread.join()
    assert [text(store, o) for o in outcomes] == [before]
    assert gone(str(store.root))
    assert text(store, executor.run(make("pid"))) != before


def test_closing_leaves_nothing(executor: LocalExecutor, store: Store, make: Make) -> None:
    text(store, executor.run(make("pid")))
    executor.close()
    executor.close()
    assert not alive(str(store.root))
    assert list((store.root / "work").iterdir()) == []


def coordinator(store: Store, backend: Path) -> subprocess.Popen[bytes]:
    """A process of its own, with a host, a step that hangs, and what the step started."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from buildsys.engine.executors import Job, LocalExecutor\n"
        "from buildsys.backends.output import Output\n"
        "from buildsys.planner.graph import Action, Worker\n"
        "from buildsys.store import Store\n"
        "folder = Path(sys.argv[2])\n"
        "worker = Worker('worker:hang', folder.name, folder, ())\n"
        "action = Action('m', 'r', worker, 'host', {}, {}, (Output('artifact', 'o'),))\n"
        "job = Job.of(action, 'ef' * 32, {}, Path(sys.executable), None, 1, 600.0)\n"
        "LocalExecutor(Store(Path(sys.argv[1]))).run(job)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root), str(backend)], cwd=Path(__file__).parents[2]
    )
    marker = f"{store.root}/work/host-"
    for _ in range(200):
        if len(alive(marker)) == 3:
            break
        time.sleep(0.05)
    assert len(alive(marker)) == 3
    return process


def test_a_coordinator_that_is_killed_leaves_no_process(store: Store, backend: Path) -> None:
    process = coordinator(store, backend)
    marker = f"{store.root}/work/host-"
    process.kill()
    process.wait()
    assert gone(marker)


def test_a_host_that_dies_alone_takes_its_children(store: Store, backend: Path) -> None:
    """While the coordinator cannot do anything about it."""
    process = coordinator(store, backend)
    process.send_signal(signal.SIGSTOP)
    try:
        host = int(_ps("pid=,args=", f"{store.root}/work/host-", of=process.pid)[0].split()[0])
        os.kill(host, signal.SIGKILL)
        for _ in range(100):
            if len(alive(f"{store.root}/work/host-")) == 1:  # What the step itself started.
                break
            time.sleep(0.05)
        assert len(alive(f"{store.root}/work/host-")) == 1
    finally:
        process.send_signal(signal.SIGCONT)
    # It ends what is left of the step, and begins the step again in another host.
    for _ in range(200):
        if len(alive(f"{store.root}/work/host-")) == 3:
            break
        time.sleep(0.05)
    assert len(alive(f"{store.root}/work/host-")) == 3
    process.kill()
    process.wait(timeout=20)
    assert gone(f"{store.root}/work/host-")


def test_an_executor_that_is_dropped_ends_its_hosts(store: Store, make: Make) -> None:
    executor = LocalExecutor(store)
    text(store, executor.run(make("pid")))
    assert alive(str(store.root))
    del executor
    assert gone(str(store.root))


def test_where_the_time_went(executor: LocalExecutor, store: Store, make: Make) -> None:
    first, second = executor.run(make("pid")), executor.run(make("pid"))
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert set(first.phases) == {"inputs", "wait", "work", "store"}
    assert second.phases["wait"] < first.phases["wait"]
    assert second.seconds == second.phases["work"]
    assert second.peak_rss > 2**20
    assert second.cpu > 0


def test_an_environment_is_made_ready_before_it_is_needed(
    executor: LocalExecutor, store: Store, make: Make
) -> None:
    ready = threading.Event()
    executor.prepare(make("seen").spec, ready.set)
    assert ready.wait(30)
    assert executor.processes_started == 1
    outcome = executor.run(make("seen"))
    assert isinstance(outcome, Done)
    assert executor.processes_started == 2  # A child of the host that was there.
    assert json.loads(text(store, outcome))["late"] is True
    again = threading.Event()
    executor.prepare(make("seen").spec, again.set)  # There is a host: nothing to do.
    assert again.is_set()
    assert executor.processes_started == 2


def test_who_waits_for_an_environment_is_told_when_it_cannot_be_made_ready(
    executor: LocalExecutor, make: Make
) -> None:
    ready = threading.Event()
    executor.prepare(make("seen").spec, ready.set)
    executor.stop()
    assert ready.wait(30)
