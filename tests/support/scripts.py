"""What the tests of Core ML and TFLite share beside `harness`: scripts in a toolchain, digests."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from tests.support.harness import interpreter


def script(toolchain: str, path: Path, *arguments: str) -> str:
    """Runs a script of the tests inside a toolchain and returns what it prints."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.run(
            [str(interpreter(toolchain)), "-s", "-P", str(path), *arguments],
            env={"PATH": os.defpath, "HOME": home, "TMPDIR": home, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    assert process.returncode == 0, process.stderr
    return process.stdout


def digest(path: Path) -> str:
    """A digest over names and bytes of a file or a folder."""
    state = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        state.update(file.relative_to(path).as_posix().encode() + b"\0" + file.read_bytes())
    return state.hexdigest()
