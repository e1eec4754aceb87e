"""The projects, built in every format once a session, each from an empty store."""

from __future__ import annotations

import pytest

from tests.e2e.formats import everything
from tests.e2e.project import Project, Result

Built = dict[str, tuple[Project, Result]]


@pytest.fixture(scope="session")
def all_formats(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """`modelbuild build -k` of each project in every format."""
    found = {}
    for name in ("digits", "activity"):
        project = everything.committed(name, tmp_path_factory.mktemp(name), hash_seed="1")
        found[name] = (project, project.build("-k"))
    project = everything.pair(tmp_path_factory.mktemp("pair"), hash_seed="1")
    found["pair"] = (project, project.build("-k"))
    return found
