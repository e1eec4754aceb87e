"""Claims: one build runs an action, others wait; nothing is left behind, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from buildsys.engine.claims import Claims

KEY = "0123456789abcdef"


def test_a_claim_excludes_another_and_names_its_holder(tmp_path: Path) -> None:
    first, second = Claims(tmp_path / "locks"), Claims(tmp_path / "locks")
    assert first.take(KEY) is None
    holder = second.take(KEY)
    assert holder is not None
    assert f"process {os.getpid()} on " in holder
    assert second.take("another") is None
    first.give_back(KEY)
    assert second.take(KEY) is None
    second.give_back_all()
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_claim_that_is_not_ours_is_not_given_back(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(KEY) is None
    second.give_back(KEY)
    assert second.take(KEY) is not None


def test_a_killed_holder_leaves_nothing_to_unlock(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from buildsys.engine.claims import Claims\n"
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
    assert mine.take(KEY) is None  # Its file is still there, and is taken over.
    mine.give_back_all()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_holder_removes_while_we_open_it_is_no_claim(tmp_path: Path) -> None:
    """Two processes must never hold two files of one name."""
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(KEY) is None
    path = next(tmp_path.iterdir())
    stale = os.open(path, os.O_RDWR)
    first.give_back(KEY)
    real_open = os.open
    opened = [stale]

    def opens_the_stale_file_first(name: object, *rest: object) -> int:
        return opened.pop() if opened else real_open(name, *rest)  # type: ignore[arg-type]

    os.open = opens_the_stale_file_first  # type: ignore[assignment]
    try:
        assert second.take(KEY) is None
    finally:
        os.open = real_open
    assert opened == []
    third = Claims(tmp_path)
    assert third.take(KEY) is not None
