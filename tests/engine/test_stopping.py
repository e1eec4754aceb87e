"""A build that is stopped stops all that it started; what is broken is told once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys.engine.environments import Environments
from buildsys.toolchains import ToolchainError
from buildsys.toolchains.processes import LocalProcesses
from tests.space import Space, statuses


@pytest.fixture
def requirements(space: Space) -> Space:
    """A project whose model's environment is still to be made."""
    space.edit("deploy.yaml", "environment: host", "environment: {requirements: r.txt}")
    space.write("r.txt", "nothing\n")
    return space


def test_an_installer_ends_with_the_build(
    requirements: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = LocalProcesses()
    started = threading.Event()

    def ensure(self: Environments, environment: str, tell: Callable[[str], None]) -> None:
        started.set()
        status = processes.run(
            ["sleep", "60"], cwd=tmp_path, environ=dict(os.environ), log=tmp_path / "log"
        )
        raise ToolchainError(environment, f"ended with {status}", None)

    monkeypatch.setattr(Environments, "ensure", ensure)
    monkeypatch.setattr(Environments, "stop", lambda self: processes.stop())
    main = threading.get_ident()

    def interrupt() -> None:
        started.wait()
        time.sleep(0.3)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        requirements.build("ios")
    assert time.monotonic() - began < 30


def test_what_cannot_be_made_is_tried_once(
    requirements: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def ensure(self: Environments, environment: str, tell: Callable[[str], None]) -> None:
        tried.append(environment)
        raise ToolchainError(environment, "no network", None)

    monkeypatch.setattr(Environments, "ensure", ensure)
    build = requirements.build(keep_going=True)
    assert build.exit == 5
    assert len(tried) == 1
    assert set(statuses(build).values()) == {"blocked"}


def test_a_file_of_the_future_can_be_built(space: Space) -> None:
    later = time.time() + 6 * 3600
    os.utime(space.project / "helper.py", (later, later))
    assert space.build("ios").exit == 0
