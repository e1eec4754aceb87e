"""Claims: one build runs an action, others wait; nothing is left behind, whoever dies."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from buildsys.engine.scheduling.claims import FILES, Claims
from buildsys.store import StoreError

KEY = "0123456789abcdef"


def test_a_claim_excludes_another_and_names_its_holder(tmp_path: Path) -> None:
    first, second = Claims(tmp_path / "locks"), Claims(tmp_path / "locks")
    assert first.take(KEY) is None
    holder = second.take(KEY)
    assert holder is not None
    assert f"process {os.getpid()} on " in holder
    assert second.take("ffff89abcdef") is None
    first.give_back(KEY)
    assert second.take(KEY) is None
    second.give_back_all()
    assert first.take(KEY) is None


def test_a_claim_that_is_not_ours_is_not_given_back(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(KEY) is None
    second.give_back(KEY)
    assert second.take(KEY) is not None


def test_a_killed_holder_leaves_nothing_to_unlock(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from buildsys.engine.scheduling.claims import Claims\n"
        f"print(Claims(pathlib.Path({str(tmp_path)!r})).take({KEY!r}), flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "None\n"
    mine = Claims(tmp_path)
    holder = mine.take(KEY)
    assert holder is not None
    assert f"process {other.pid} " in holder
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert mine.take(KEY) is None
    assert f"process {other.pid} " not in next(tmp_path.iterdir()).read_text()


def test_two_actions_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    assert claims.take(f"{5:012x}") is None
    assert claims.take(f"{5 + FILES:012x}") is not None
    assert claims.take(f"{6:012x}") is None
    claims.give_back(f"{5:012x}")
    assert claims.take(f"{5 + FILES:012x}") is None


@pytest.mark.parametrize(
    ("module", "function", "number"),
    [(fcntl, "flock", errno.ENOLCK), (os, "ftruncate", errno.EIO), (os, "pwrite", errno.ENOSPC)],
    ids=["no locks here", "failing disk", "full disk"],
)
def test_a_claim_that_fails_leaves_no_descriptor_and_no_lock(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    function: str,
    number: int,
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    claims = Claims(tmp_path)
    before = os.listdir("/dev/fd")
    with monkeypatch.context() as patched:
        patched.setattr(module, function, refuse)
        for _ in range(3):
            with pytest.raises((StoreError, OSError)):
                claims.take(KEY)
    assert os.listdir("/dev/fd") == before
    assert Claims(tmp_path).take(KEY) is None
