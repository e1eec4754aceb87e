"""The command line in this process, with the fake backend: fast, and the exit status as a user gets it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from buildsys.cli.main import run
from buildsys.planner.catalog import Catalog
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
