from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.project import SearchSpace


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    made = SearchSpace(tmp_path / "project", tmp_path / "store")
    made.create()
    return made
