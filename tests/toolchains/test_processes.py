"""Installers run to their end, and their logs stay small."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from buildsys import capped_log as capped
from buildsys.toolchains.processes import LocalProcesses


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capped, "HEAD", 200)
    monkeypatch.setattr(capped, "TAIL", 700)
    monkeypatch.setattr(capped, "LIMIT", 900)


def run(log: Path, code: str) -> int:
    command = (sys.executable, "-I", "-c", code)
    return LocalProcesses().run(command, cwd=log.parent, environ={"PATH": os.defpath}, log=log)


@pytest.mark.usefixtures("small")
def test_of_an_installer_that_says_much_beginning_and_end_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert run(log, "print('one line')") == 0
    before = log.read_bytes()
    assert before.endswith(b"one line\n")
    assert run(log, "print('begin', 'x' * 100_000, 'end'); raise SystemExit(3)") == 3
    text = log.read_bytes()
    assert text.startswith(before)
    said = text[len(before) :]
    assert b"\nbegin xxx" in said[:200]
    assert said.endswith(b"xxx end\n")
    assert b"bytes are left out here]" in said
    assert len(said) < 900 + 100


def test_what_an_installer_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    """It has inherited the pipe, and may hold it for as long as it likes."""
    log = tmp_path / "log.txt"
    code = "import subprocess, sys; print('done', flush=True)\n"
    code += "print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    assert run(log, code) == 0
    pid = int(log.read_text().split()[-1])
    os.kill(pid, 9)  # It still runs: else this fails.
    assert "done" in log.read_text()
