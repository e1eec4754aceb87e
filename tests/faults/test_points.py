"""A build that is killed at a named point: the next one is right, and does only what is missing."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.faults import runs
from tests.faults.driver import COLLECTING, POINTS, RECORDING
from tests.profile import some
from tests.space import Space

ACTIONS = 15


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A project that was built, to be copied."""
    folder = tmp_path_factory.mktemp("built")
    space = Space(folder / "project", folder / "store")
    space.create()
    space.build()
    return space


@pytest.mark.parametrize("point", some(POINTS))
def test_killed_at_a_point(built: Space, tmp_path: Path, point: str) -> None:
    """An artifact of before the edit lies there already, so that placing has to replace it."""
    space = runs.copy(built, tmp_path / "project", tmp_path / "store")
    space.weights([[1.2, 2.3], [3.1, -4.7], [0.3, 0.25]])
    if point == RECORDING:  # It is written only where it says something else.
        (space.project / "artifacts" / ".placed.json").unlink()
    result = runs.build(space, "--die", point)
    assert result.status == -signal.SIGKILL, (result.status, result.errors)
    clean = Space(tmp_path / "clean", tmp_path / "clean-store")
    shutil.copytree(space.project, clean.project)
    shutil.rmtree(clean.project / "artifacts", ignore_errors=True)
    clean.build()
    runs.recovered(space, runs.artifacts(clean), result.ran, ACTIONS)


@pytest.mark.parametrize("point", COLLECTING)
def test_a_collection_that_is_killed(built: Space, tmp_path: Path, point: str) -> None:
    space = runs.copy(built, tmp_path / "project", tmp_path / "store")
    clean = runs.artifacts(space)
    result = runs.build(space, "--collect", "--die", point)
    assert result.status == -signal.SIGKILL, (result.status, result.errors)
    runs.recovered(space, clean, [], ACTIONS)
