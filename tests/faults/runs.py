"""Starts the driver, and looks at what it left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.space import Space

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Result:
    """What a process came to: its status, and what it told."""

    status: int
    events: list[dict[str, Any]]
    errors: str

    @property
    def executed(self) -> list[str]:
        return [str(n) for e in self.events if e["event"] == "end" for n in e["executed"]]

    @property
    def ran(self) -> list[str]:
        """Actions that came to an end in this process, as they were told."""
        return [e["id"] for e in self.events if e["event"] == "action_finished" and not e["cached"]]


def command(space: Space, *arguments: str) -> list[str]:
    module = "tests.faults.driver"
    return [sys.executable, "-m", module, str(space.project), str(space.store), *arguments]


def start(space: Space, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(space, *arguments),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], timeout: float = 120) -> Result:
    out, errors = process.communicate(timeout=timeout)
    events = []
    for line in out.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue  # The last line of a process that was killed.
    return Result(process.returncode, events, errors)


def build(space: Space, *arguments: str) -> Result:
    return ended(start(space, *arguments))


def artifacts(space: Space) -> dict[str, bytes]:
    """What lies there, without hidden files of ours."""
    return {n: d for n, d in space.artifacts().items() if n != ".placed.json"}


def leftovers(space: Space) -> list[Path]:
    return sorted((space.project / "artifacts").rglob(".new-*"))


def copy(space: Space, project: Path, store: Path) -> Space:
    """The same project and store somewhere else."""
    shutil.copytree(space.project, project)
    if space.store.exists():
        shutil.copytree(space.store, store)
    return Space(project, store)


def recovered(space: Space, clean: dict[str, bytes], ran: list[str], everything: int) -> None:
    """The next build is right and does only what is missing; the one after it does nothing."""
    second = space.build()
    assert second.exit == 0
    assert artifacts(space) == clean
    assert leftovers(space) == []
    assert len(second.run.executed) <= everything - len(set(ran)), second.run.executed
    third = space.build()
    assert third.run.executed == []
    assert artifacts(space) == clean
