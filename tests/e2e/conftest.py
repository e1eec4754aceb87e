"""Both recipes, built once a session from an empty store; tests work on copies or put back what they edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.project import Project, Result


@pytest.fixture(scope="session")
def first_builds(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Project, Result]]:
    """`modelbuild build ios android` of each recipe, from an empty store."""
    found = {}
    for recipe in ("digits", "activity"):
        project = Project.copy_of(recipe, tmp_path_factory.mktemp(recipe), hash_seed="1")
        found[recipe] = (project, project.build("ios", "android"))
    return found


@pytest.fixture
def digits(first_builds: dict[str, tuple[Project, Result]], tmp_path: Path) -> Project:
    """A built copy of `digits`, the test's own."""
    return first_builds["digits"][0].fork(tmp_path)
