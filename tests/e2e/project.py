"""A copy of a committed recipe that tests edit and build by the command itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import schemas

RECIPES = Path(__file__).parents[2] / "recipes"


@dataclass
class Result:
    """What a run of the command gave."""

    code: int
    stdout: str
    stderr: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def ran(self) -> Counter[str]:
        """How often each rule ran."""
        return Counter(
            e["rule"] for e in self.events if e["event"] == "action_finished" and not e["cached"]
        )

    def started(self) -> int:
        """How many actions were started."""
        return sum(e["event"] == "action_started" for e in self.events)

    def statuses(self) -> dict[str, str]:
        """Status by label."""
        return {e["deployable"]: e["status"] for e in self.events if e["event"] == "gate"}

    def finished(self) -> dict[str, Any]:
        """The last event."""
        assert self.events[-1]["event"] == "finished"
        return self.events[-1]


class Project:
    """A folder with a recipe, and the store that it is built with."""

    def __init__(
        self,
        folder: Path,
        store: Path,
        hash_seed: str = "random",
        python: Path = Path(sys.executable),
    ) -> None:
        self.folder = folder
        self.store = store
        self.python = python
        self._hash_seed = hash_seed

    @classmethod
    def copy_of(
        cls,
        recipe: str,
        root: Path,
        hash_seed: str = "random",
        python: Path = Path(sys.executable),
    ) -> Project:
        """Copies `recipes/<recipe>` below `root`, with a new store beside it."""
        folder = root / recipe
        ignored = shutil.ignore_patterns("artifacts", "__pycache__")
        shutil.copytree(RECIPES / recipe, folder, ignore=ignored)
        return cls(folder, root / "store", hash_seed, python)

    def fork(self, root: Path) -> Project:
        """A copy of project and store, to do harm to."""
        shutil.copytree(self.folder, root / self.folder.name)
        shutil.copytree(self.store, root / "store")
        return Project(root / self.folder.name, root / "store", self._hash_seed, self.python)

    def copied(self, root: Path) -> Project:
        """A copy of the project, with a new store."""
        ignored = shutil.ignore_patterns("artifacts", "__pycache__")
        shutil.copytree(self.folder, root / self.folder.name, ignore=ignored)
        return Project(root / self.folder.name, root / "store", self._hash_seed, self.python)

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """Runs `modelbuild` in the folder, as a process of its own."""
        given = {
            **os.environ,
            "MODELBUILD_CACHE": str(self.store),
            "PYTHONHASHSEED": self._hash_seed,
            **(environment or {}),
        }
        done = subprocess.run(
            [self.python, "-m", "buildsys.cli", *arguments],
            cwd=self.folder,
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def build(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """`modelbuild build --json`."""
        result = self.run("build", "--json", *arguments, environment=environment)
        result.events = [json.loads(line) for line in result.stdout.splitlines()]
        for event in result.events:
            schemas.check("build", event)
        return result

    def plan(self, *arguments: str) -> dict[str, Any]:
        """`modelbuild plan --json`."""
        result = self.run("plan", "--json", *arguments)
        assert result.code == 0, result.stderr
        record: dict[str, Any] = json.loads(result.stdout)
        schemas.check("plan", record)
        return record

    def reasons(self, *arguments: str) -> str:
        """All the causes that `plan` names."""
        plan = self.plan(*arguments)
        return " | ".join(text for d in plan["deployables"] for text in d["reasons"])

    def report(self) -> dict[str, dict[str, Any]]:
        """`artifacts/report.json`, by label."""
        record = json.loads((self.folder / "artifacts" / "report.json").read_text())
        schemas.check("report", record)
        return {d["label"]: d for d in record["deployables"]}

    def deployables(self) -> dict[str, bytes]:
        """Every file of every deployable."""
        folder = self.folder / "artifacts"
        return {
            f.relative_to(folder).as_posix(): f.read_bytes()
            for f in sorted(folder.rglob("*"))
            if f.is_file() and f.parent != folder
        }

    def edit(self, name: str, before: str, after: str) -> None:
        """Replaces a piece of a file, which must be there."""
        path = self.folder / name
        text = path.read_text()
        assert before in text, f"{name} has no {before!r}"
        path.write_text(text.replace(before, after))

    def snapshot(self) -> dict[str, tuple[int, int]]:
        """Size and modification time of every file of the store and of the artifacts."""
        found = {}
        for root in (self.store, self.folder / "artifacts"):
            for file in sorted(root.rglob("*")):
                if file.is_file() and not file.name.endswith(("-wal", "-shm")):
                    information = file.stat()
                    found[str(file)] = (information.st_size, information.st_mtime_ns)
        return found
