"""The copying backend, as an installed package would be found, builds a pipeline of ten actions."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import shape
from benchmarks.copying_backend import PACKAGE
from buildsys.engine.outcome.verdicts import Status
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.engine.session import Session, open_recipe
from buildsys.planner.catalog import Catalog


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """All backends that are registered, with the copying one among them."""
    site = tmp_path / "site"
    information = site / "modelbuild_copying-0.1.0.dist-info"
    information.mkdir(parents=True)
    (site / PACKAGE.name).symlink_to(PACKAGE)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: modelbuild-copying\nVersion: 0.1.0\n"
    )
    declared = (PACKAGE.parent / "pyproject.toml").read_text().partition('."modelbuild.backends"]')
    line = declared[2].strip().splitlines()[0].replace('"', "")
    (information / "entry_points.txt").write_text(f"[modelbuild.backends]\n{line}\n")
    monkeypatch.syspath_prepend(str(site))
    yield Catalog.load()
    for name in [n for n in sys.modules if n.partition(".")[0] == PACKAGE.name]:
        del sys.modules[name]


def built(project: Path, store: Path, catalog: Catalog) -> tuple[Build, Counter[str]]:
    recipe = open_recipe(project / "deploy.yaml", catalog, os.environ)
    with Session(recipe, catalog, root=store) as session:
        build = session.build(settings=Settings(jobs=2))
    return build, Counter(build.graph.actions[name].rule for name in build.run.executed)


def test_ten_actions(tmp_path: Path, catalog: Catalog) -> None:
    project, store = tmp_path / "project", tmp_path / "store"
    shape.write("modelbuild", 10, project)
    first, ran = built(project, store, catalog)
    assert first.exit == 0
    assert ran.total() == 10
    assert {v.status for v in first.verdicts} == {Status.UNVERIFIED}
    assert {v.reason for v in first.verdicts} == {"a copy computes nothing"}
    bundle = (project / "artifacts" / "android" / "m00000.bundle").read_bytes()
    read = b"".join(
        shape.source("m00000", name) for name in ("model.src", "data.bin", "weights.bin")
    )
    assert bundle == read
    assert built(project, store, catalog)[1].total() == 0
    # What the recipe does not name was discovered.
    (project / shape.where("m00000", "data.bin")).write_bytes(b"other")
    assert built(project, store, catalog)[1].total() == shape.BELOW_EDITED
    shape.edit(project, 1)
    assert built(project, store, catalog)[1].total() == shape.BELOW_EDITED
