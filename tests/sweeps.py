"""Records of sweeps, which take hours: a line a case, written as it goes, so that a stopped sweep goes on.

A record's name holds a digest of the code that it is of. A sweep of other code starts a record of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]


def place(name: str, sources: Iterable[Path]) -> Path:
    """Where a sweep keeps its record; `MODELBUILD_SWEEPS` moves the folder.

    Args:
        name: Of the sweep.
        sources: Files, and folders of Python files and locks, that decide what it finds.
    """
    found = hashlib.sha256()
    for file in sorted(file for source in sources for file in _files(source)):
        found.update(f"{file.relative_to(REPOSITORY)}\0{file.stat().st_size}\0".encode())
        found.update(file.read_bytes())
    kept = REPOSITORY / ".cache" / "modelbuild" / "sweeps"
    folder = Path(os.environ.get("MODELBUILD_SWEEPS", kept))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{found.hexdigest()[:12]}.jsonl"


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return [each for each in source.rglob("*") if each.suffix in (".py", ".txt", ".in")]


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a record; one that a killed sweep did not finish is left out."""
    if not file.exists():
        return []
    lines = file.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1] if line]


def add(file: Path, records: Iterable[dict[str, Any]]) -> None:
    """Appends lines."""
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(each) + "\n" for each in records)


def mend(file: Path) -> None:
    """Cuts off the last line where a killed sweep did not finish it."""
    if not file.exists():
        return
    with file.open("r+b") as stream:
        stream.truncate(stream.read().rfind(b"\n") + 1)
