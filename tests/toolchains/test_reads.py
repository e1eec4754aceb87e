"""Every way of reading a file is seen, or said to be unseen."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildsys.backends.output import Output
from buildsys.engine.executors import Failed, LocalExecutor
from buildsys.engine.executors.job import Job
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store
from buildsys.toolchains.inside import syscalls
from buildsys.toolchains.inside.reads import UNSEEN, discovered_digest
from buildsys.toolchains.inside.watch import PYTHON, RING, SWITCH
from tests.fakes import reading
from tests.support.toolchain import python
from tests.toolchains.reading_ways import WAYS, Way

DOCUMENT = Path(__file__).parents[2] / "docs" / "inputs.md"
FOLDER = Path(reading.__file__).parent
TOOLCHAINS = {"torch": "torch", "h5py": "tflite-onnx"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks steps")


class Steps:
    """Runs `model.read()` of small projects, as a build would."""

    def __init__(self, work: Path) -> None:
        store = Store(work / "store")
        self.log = ""
        """What the last step printed."""
        self._executors = {
            watch: LocalExecutor(store, variables={SWITCH: watch}) for watch in ("kernel", PYTHON)
        }

    def run(self, project: Path, needs: str = "", watch: str = "kernel") -> dict[str, str]:
        """What a step reads, name to digest."""
        function = "worker:read_with_torch" if needs == "torch" else "worker:read"
        action = Action(
            id="read",
            rule="reading.read",
            worker=Worker(function, "reading", FOLDER),
            environment=TOOLCHAINS.get(needs, "host"),
            inputs={},
            options={},
            outputs=(Output("done", "done.txt"),),
            user_code=True,
        )
        interpreter = python(TOOLCHAINS[needs]) if needs else Path(sys.executable)
        job = Job.of(action, "0" * 64, {}, interpreter, project, threads=1, timeout=60)
        outcome = self._executors[watch].run(job)
        if isinstance(outcome, Failed):
            log = outcome.log.read_text(errors="replace") if outcome.log else ""
            raise AssertionError(f"{outcome.message}\n{log}")
        self.log = outcome.log.read_text(errors="replace")
        return dict(outcome.discovered)

    def close(self) -> None:
        for executor in self._executors.values():
            executor.close()


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steps]:
    made = Steps(tmp_path_factory.mktemp("steps"))
    yield made
    made.close()


def stale(project: Path, record: dict[str, str]) -> list[str]:
    """What of a record no longer holds."""
    return [n for n, digest in record.items() if discovered_digest(str(project), n) != digest]


def marked(record: dict[str, str]) -> list[str]:
    return [name for name in record if name.startswith(UNSEEN)]


def outcome(steps: Steps, project: Path, way: Way, watch: str) -> str:
    """`seen`, `marked`, `missed`, or what is wrong."""
    project.mkdir()
    (project / "model.py").write_text(way.model())
    try:
        way.before(project)
        record = steps.run(project, way.needs, watch)
        assert stale(project, record) == []
        if "st_mtime" not in way.name and (project / "data.txt").exists():
            os.utime(project / "data.txt")
            # Of what the entries of a folder are asked for by themselves, nothing can be known.
            assert stale(project, record) == [] or "entries" in way.name
        way.after(project)
        changed = stale(project, record)
        assert not changed or len(changed) <= 3
        return "seen" if changed else "marked" if marked(record) else "missed"
    finally:
        where = project / "where.txt"
        if where.exists():
            Path(where.read_text()).unlink(missing_ok=True)


def skipped(way: Way) -> str | None:
    if "/etc" in way.name and not os.access("/etc", os.W_OK):
        return "/etc is not writable here"
    if "/dev/shm" in way.name and not os.access("/dev/shm", os.W_OK):
        return "there is no /dev/shm here"
    return None


def documented() -> dict[str, dict[str, str]]:
    """What the document says becomes of each way, by who watches."""
    table = DOCUMENT.read_text().partition("<!-- ways -->")[2].partition("<!-- /ways -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    return {name: {"kernel": kernel, "python": alone} for name, kernel, alone in rows}


@linux
@pytest.mark.parametrize("watch", ["kernel", "python"])
@pytest.mark.parametrize("way", [pytest.param(way, id=way.name) for way in WAYS])
def test_a_way(steps: Steps, tmp_path: Path, way: Way, watch: str) -> None:
    reason = skipped(way)
    if reason is not None:
        pytest.skip(reason)
    assert outcome(steps, tmp_path / "project", way, watch) == documented()[way.name][watch]


def test_the_document_has_every_way_and_misses_none() -> None:
    table = documented()
    assert list(table) == [way.name for way in WAYS]
    assert len(table) == 49
    assert sum(row["kernel"] == "seen" for row in table.values()) >= 47
    assert {cell for row in table.values() for cell in row.values()} == {"seen", "marked"}


def read_by(steps: Steps, project: Path, body: str, watch: str) -> dict[str, str]:
    project.mkdir(exist_ok=True)
    (project / "data.txt").write_text("1")
    (project / "model.py").write_text(Way("", body).model())
    return steps.run(project, watch=watch)


ON_BEHALF_OF_NOBODY = """\
import getpass, locale, mimetypes, pwd, socket, ssl, subprocess, tempfile, zoneinfo
pwd.getpwuid(os.getuid()), socket.gethostname(), mimetypes.guess_type("a.png")
zoneinfo.ZoneInfo("Europe/Berlin")
ssl.create_default_context()
socket.getaddrinfo("localhost", 80)
locale.setlocale(locale.LC_ALL, "C.UTF-8")
subprocess.run(["/bin/sh", "-c", "date > /dev/null; ls /usr/bin > /dev/null"], check=True)
open("/proc/self/maps").read(), open("/dev/urandom", "rb").read(1)
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "a").write_text("1")
    Path(folder, "a").read_text(), os.listdir(folder)
(HERE / "cache.txt").write_text("made here")
(HERE / "cache.txt").read_text(), (HERE / "cache.txt").stat()
(HERE / "cache.txt").unlink()
"""


@linux
@pytest.mark.parametrize("watch", ["kernel", PYTHON])
def test_the_machine_and_what_the_step_makes_are_no_inputs(
    steps: Steps, tmp_path: Path, watch: str
) -> None:
    record = read_by(steps, tmp_path / "project", ON_BEHALF_OF_NOBODY, watch)
    marks = set(marked(record))
    assert set(record) - marks == {"./*.py", "model.py"}
    assert marks == (set() if watch == "kernel" else {"?//the program `sh`"})


@linux
@pytest.mark.parametrize("watch", ["kernel", PYTHON])
def test_a_library_that_copies_a_file_asks_for_no_time(
    steps: Steps, tmp_path: Path, watch: str
) -> None:
    body = "import shutil\nshutil.copy2(DATA, os.environ['TMPDIR'] + '/copy')"
    record = read_by(steps, tmp_path / "project", body, watch)
    assert set(record) == {"./*.py", "model.py", "data.txt"}


@linux
def test_a_foreign_program_that_only_looks_may_have_looked_at_the_time(
    steps: Steps, tmp_path: Path
) -> None:
    looks = "import subprocess\nsubprocess.run(['ls', '-l', DATA], check=True)"
    record = read_by(steps, tmp_path / "project", looks, "kernel")
    assert {"data.txt//", "data.txt//size", "data.txt//time"} <= set(record)
    reads = looks + "\nsubprocess.run(['cat', DATA], check=True)"
    record = read_by(steps, tmp_path / "project", reads, "kernel")
    assert set(record) == {"./*.py", "model.py", "data.txt"}


@linux
def test_the_watcher_is_no_child_of_the_step(steps: Steps, tmp_path: Path) -> None:
    body = "assert os.fork() or os._exit(0)\nos.wait()\n"
    body += "try:\n    os.wait()\nexcept ChildProcessError:\n    return\nraise AssertionError"
    read_by(steps, tmp_path / "project", body, "kernel")


@linux
def test_rings_are_refused_as_if_the_kernel_had_none(steps: Steps, tmp_path: Path) -> None:
    body = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    body += (
        "for _ in range(2):\n    assert libc.syscall(425, 1, bytes(120)) == -1\n"
        "    assert ctypes.get_errno() == errno.ENOSYS"
    )
    record = read_by(steps, tmp_path / "project", body, "kernel")
    assert marked(record) == []
    # The step's log says so, once.
    assert steps.log.count(RING) == 1


INSTALLS_TWICE = """\
import sys
sys.path.insert(0, sys.argv[1])
import syscalls
syscalls.install()
try:
    syscalls.install()
except syscalls.Unavailable as error:
    print(error)
"""


@linux
def test_a_container_that_listens_itself_is_told_apart() -> None:
    """Only one listener is allowed: a step falls back on Python's hook, and says why."""
    code = [sys.executable, "-c", INSTALLS_TWICE, str(Path(syscalls.__file__).parent)]
    said = subprocess.run(code, capture_output=True, text=True, check=True).stdout
    assert "refuses seccomp notifications (Device or resource busy)" in said


def verdict(architecture: str, value: int, number: int) -> int:
    """What the filter says of a call, by a machine for the few instructions that it has."""
    code = list(struct.iter_unpack("HBBI", syscalls.program(architecture)))
    at, accumulator = 0, 0
    while True:
        what, true, false, operand = code[at]
        at += 1
        if what == syscalls.LOAD:
            accumulator = {0: number, 4: value}[operand]
        elif what == syscalls.RETURN:
            return int(operand)
        else:
            equal = what == syscalls.JUMP_EQUAL
            at += true if (accumulator == operand if equal else accumulator & operand) else false


@pytest.mark.parametrize("architecture", sorted(syscalls.NUMBERS))
def test_the_filter_announces_the_watched_calls_and_no_others(architecture: str) -> None:
    value, numbers = syscalls.NUMBERS[architecture]
    announced = {n for n in range(600) if verdict(architecture, value, n) == syscalls.NOTIFY}
    assert announced == set(numbers.values())
    assert set(numbers) >= set(syscalls.ANYWHERE)
    other = next(v for v, _ in syscalls.NUMBERS.values() if v != value)
    assert verdict(architecture, other, 0) == syscalls.NOTIFY
    assert verdict(architecture, value, syscalls.X32 | 1) == syscalls.NOTIFY
