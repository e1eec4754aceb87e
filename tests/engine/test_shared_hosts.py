"""Builds of one test process hand their hosts on, but none that may differ from one of its own."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from buildsys.engine.executors.processes.host import Host
from buildsys.engine.executors.processes.hosts import FORKS
from buildsys.engine.executors.variables import worker_environment
from buildsys.planner.catalog import Catalog
from buildsys.store import Store
from tests.fakes.numeric.rules import backend
from tests.shared_hosts import POOL, SharingExecutor
from tests.space import Space

pytestmark = pytest.mark.skipif(not FORKS, reason="there are no hosts on this system")


@pytest.fixture(autouse=True)
def empty() -> None:
    POOL.close()


def test_a_second_build_takes_the_hosts_of_the_first(space: Space) -> None:
    first = space.build("ios/m.onnx")
    hosts = POOL.processes()
    assert len(hosts) == 2  # Of the built-in steps, and of the environment of all others.
    space.weights([[2.0, 1.0], [1.0, 3.0], [0.5, 0.5]])
    second = space.build("ios/m.onnx")
    assert POOL.processes() == hosts
    for build in (first, second):  # They count as if they were its own.
        assert build.processes == len(build.run.executed) + 2


@pytest.mark.parametrize("killed", [False, True])
def test_a_host_that_was_killed_is_not_handed_on(tmp_path: Path, killed: bool) -> None:
    executor = SharingExecutor(Store(tmp_path / "store"))
    python = Path(sys.executable)
    variables = worker_environment(python, 1, tmp_path, tmp_path)
    host = executor._hosts._host("host", python, variables)
    assert isinstance(host, Host)
    if killed:
        executor.stop()
    executor.close()
    assert len(POOL.processes()) == (not killed)


def test_a_backend_that_a_test_may_edit_has_hosts_of_its_own(space: Space, tmp_path: Path) -> None:
    folder = tmp_path / "numeric"
    shutil.copytree(Path(backend.folder), folder)
    space.catalog = Catalog.load([replace(backend, folder=folder)])
    build = space.build("ios/m.onnx")
    assert build.exit == 0
    assert POOL.processes() == frozenset()
