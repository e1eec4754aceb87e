"""The command line in this process, with the fake backend: fast, and the exit status as a user gets it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from buildsys.cli.answer import recalling
from buildsys.cli.main import run
from buildsys.planner.catalog import Catalog
from buildsys.store.memo import FINE_NS
from tests.space import Space


@dataclass(frozen=True)
class Said:
    """What a call gave."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, as one record."""
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """Standard output, a record a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Inside:
    """Calls `modelbuild` in a space's project folder."""

    def __init__(
        self, space: Space, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.space = space
        self._capture = capture
        self.patch = patch
        patch.chdir(space.project)
        patch.setenv("MODELBUILD_CACHE", str(space.store))
        patch.setenv("MODELBUILD_CONFIG", "/dev/null")
        patch.setenv("MODELBUILD_TOOLCHAINS", str(space.store / "toolchains"))
        for name in ("MODELBUILD_CACHE_MAX_SIZE", "COLUMNS", "FORCE_COLOR", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setattr(Catalog, "load", staticmethod(lambda *_: space.catalog))

    def __call__(self, *arguments: str) -> Said:
        self._capture.readouterr()
        code = run(list(arguments))
        said = self._capture.readouterr()
        return Said(code, said.out, said.err)

    def until_answered(self, *arguments: str) -> None:
        """Calls a command until its answer is kept.

        Something else may write into a folder of `sys.path`, such as this repository, at the same moment;
        then no answer is kept, rightly, until the next time.
        """
        for _ in range(6):
            time.sleep(
                2 * FINE_NS / 1e9
            )  # What was just written grows older than the clock's grain.
            if recalling.recall(arguments) is not None:
                return
            assert self(*arguments).code == 0
        raise AssertionError("no answer was kept")
