"""Torch's vector functions are as exact in a step's first call as in any other, on each of its threads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buildsys.toolchains.inside import program
from tests.profile import PROFILE
from tests.support.harness import ROOT, interpreter

PROCESSES = {"quick": 2, "ci": 6, "nightly": 100}[PROFILE]
"""Without what the worker host does one in fifteen or so is off, and one of a hundred nearly always."""
STEP = """\
import torch


def first_call(request):
    given = torch.linspace(-2, 2, 30_720) * 0.9 + 0.05  # Both threads are there by now.
    off = float((given.tanh() - given.double().tanh()).abs().max())
    request.outputs["off"].write_text(str(off))
"""


@pytest.mark.toolchain
def test_the_first_call_of_a_step_is_exact_on_every_thread(tmp_path: Path) -> None:
    for name in ("backend", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "backend" / "steps.py").write_text(STEP)
    spec = {
        "action": str(tmp_path),
        "backend": "mine",
        "backends": str(ROOT / "backends"),
        "folder": str(tmp_path / "backend"),
        "inputs": {},
        "options": {},
        "outputs": {"off": str(tmp_path / "off.txt")},
        "project": None,
        "scratch": str(tmp_path / "scratch"),
        "threads": 2,
        "worker": "steps:first_call",
    }
    request = tmp_path / "request.json"
    request.write_text(json.dumps(spec))
    host = ROOT / "toolchains" / "inside" / "program.py"
    found = []
    for _ in range(PROCESSES):
        command = [str(interpreter("onnx-export")), "-s", "-P", str(host), str(request)]
        done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(float((tmp_path / "off.txt").read_text()))
    assert max(found) < 1e-6, found


def test_they_are_called_once_on_one_thread_where_torch_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Any] = []

    def full(shape: tuple[int], value: float) -> SimpleNamespace:
        return SimpleNamespace(tanh=lambda: called.append((shape, value)))

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    program.settle_vector_functions()
    assert called == []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(full=full))
    program.settle_vector_functions()
    # Torch divides what has more than some thousands of elements among its threads.
    assert called == [((16,), 0.5)]
