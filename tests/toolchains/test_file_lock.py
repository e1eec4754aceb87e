from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from buildsys.toolchains.file_lock import exclusive

# Holds the lock, hands it to a child that lives for a second, and is killed.
KILLED_WITH_CHILD = """
import os, signal, subprocess, sys
from pathlib import Path
from buildsys.toolchains.file_lock import exclusive
with exclusive(Path(sys.argv[1]), print) as held:
    subprocess.Popen(["sleep", sys.argv[2]], pass_fds=(held,))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(lock: Path, child_seconds: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WITH_CHILD, str(lock), child_seconds], check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_a_free_lock_is_taken_in_silence_and_names_its_holder(tmp_path: Path) -> None:
    heard: list[str] = []
    lock = tmp_path / "a.lock"
    with exclusive(lock, heard.append):
        assert f"process {os.getpid()} on " in lock.read_text()
        assert " since 2" in lock.read_text()
    assert heard == []
    assert lock.read_text() == ""


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    heard: list[str] = []
    killed(tmp_path / "a.lock", "0")
    time.sleep(0.1)
    with exclusive(tmp_path / "a.lock", heard.append):
        pass
    assert heard == []


def test_a_child_that_outlives_its_killed_parent_is_waited_for(tmp_path: Path) -> None:
    heard: list[str] = []
    killed(tmp_path / "a.lock", "1")
    started = time.monotonic()
    with exclusive(tmp_path / "a.lock", heard.append):
        waited = time.monotonic() - started
    assert len(heard) == 1
    assert heard[0].startswith("process ")
    assert waited > 0.3
