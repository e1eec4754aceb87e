"""Every way of reading a file is seen, or said to be unseen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildsys.backends.base import Output
from buildsys.engine.executors import Failed, LocalExecutor
from buildsys.engine.executors.job import Job
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store
from buildsys.toolchains.inside.reads import UNSEEN, discovered_digest
from buildsys.toolchains.inside.watch import PYTHON, SWITCH
from tests.fakes import reading
from tests.toolchain import python
from tests.toolchains.reading_ways import WAYS, Way

DOCUMENT = Path(__file__).parents[2] / "docs" / "inputs.md"
FOLDER = Path(reading.__file__).parent
TOOLCHAINS = {"torch": "torch", "h5py": "tflite-onnx"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks steps")


class Steps:
    """Runs `model.read()` of small projects, as a build would."""

    def __init__(self, work: Path) -> None:
        store = Store(work / "store")
        self._executors = {
            watch: LocalExecutor(store, variables={SWITCH: watch}) for watch in ("kernel", PYTHON)
        }

    def run(self, project: Path, needs: str = "", watch: str = "kernel") -> dict[str, str]:
        """What a step reads, name to digest."""
        function = "worker:read_with_torch" if needs == "torch" else "worker:read"
        action = Action(
            id="read",
            rule="reading.read",
            worker=Worker(function, "reading", FOLDER, (FOLDER,)),
            environment=TOOLCHAINS.get(needs, "host"),
            inputs={},
            options={},
            outputs=(Output("done", "done.txt"),),
            user_code=True,
        )
        interpreter = python(TOOLCHAINS[needs]) if needs else Path(sys.executable)
        job = Job(action, {}, "0" * 64, {}, interpreter, project, threads=1, timeout=60)
        outcome = self._executors[watch].run(job)
        if isinstance(outcome, Failed):
            log = outcome.log.read_text(errors="replace") if outcome.log else ""
            raise AssertionError(f"{outcome.message}\n{log}")
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
        if "exists" not in way.name and "time" not in way.name:
            os.utime(project / "data.txt") if (project / "data.txt").exists() else None
            # A file that is only asked for may be asked for its time.
            assert all(name.endswith("//time") for name in stale(project, record))
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
