"""The command in this process: what comes before any step gains nothing from a process of its own."""

from __future__ import annotations

import pytest

from buildsys.cli.main import run
from tests.e2e.project import Project, Result


class Here(Project):
    """A project in whose folder the command is called, not started."""

    def __init__(
        self, project: Project, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        super().__init__(project.folder, project.store)
        self._patch = patch
        self._capture = capture

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """Calls `modelbuild` in the folder; the exit status is what the process would end with."""
        with self._patch.context() as patch:
            patch.chdir(self.folder)
            for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
                patch.delenv(name, raising=False)
            for name, value in {
                "MODELBUILD_CACHE": str(self.store),
                **(environment or {}),
            }.items():
                patch.setenv(name, value)
            self._capture.readouterr()
            code = run(list(arguments))
        said = self._capture.readouterr()
        return Result(code, said.out, said.err)
