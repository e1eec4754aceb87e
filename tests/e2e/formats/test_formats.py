"""Every format, made by the real converters and run in the real runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.formats import everything
from tests.e2e.formats.conftest import Built
from tests.profile import NIGHTLY

pytestmark = pytest.mark.toolchain
ENVIRONMENT = 5
PROJECTS = ("digits", "activity", "pair")


@pytest.mark.parametrize("name", PROJECTS)
def test_every_format_is_run_and_judged(all_formats: Built, name: str) -> None:
    project, result = all_formats[name]
    report = project.report()
    statuses = {label: entry["status"] for label, entry in report.items()}
    reasons = {label: entry["reason"] for label, entry in report.items() if entry["reason"]}
    assert statuses == everything.wanted(list(everything.recipe_of(project)["models"])), reasons
    # A machine without a GPU lacks what was asked for.
    lacks = "blocked" in statuses.values()
    assert result.code == (ENVIRONMENT if lacks else 0), result.stdout + result.stderr
    for label, entry in report.items():
        if entry["status"] in ("verified", "checked"):
            assert entry["measurement"]["runtime"], label
            assert entry["gates"], label
            assert all(gate["pass"] for gate in entry["gates"]), (label, entry["gates"])
            assert (project.folder / entry["path"]).exists(), label
        else:
            assert entry["reason"], label


@pytest.mark.parametrize("name", PROJECTS)
def test_names_and_order_are_the_recipe_s(all_formats: Built, name: str) -> None:
    project, _ = all_formats[name]
    declared = everything.recipe_of(project)["models"]
    for label, entry in project.report().items():
        if entry["io"] is None:
            assert entry["status"] == "blocked", label
            continue
        model = declared[entry["model"]]
        assert [port["name"] for port in entry["io"]["inputs"]] == list(model["inputs"]), label
        assert [port["name"] for port in entry["io"]["outputs"]] == list(model["outputs"]), label


@pytest.mark.skipif(not NIGHTLY, reason="by day tests/e2e/test_recipes.py and each backend do this")
def test_another_folder_hash_seed_and_number_of_jobs_give_the_same_bytes(
    all_formats: Built, tmp_path: Path
) -> None:
    project, _ = all_formats["digits"]
    other = everything.committed("digits", tmp_path / "some" / "where" / "else", "4711")
    other.build("-k", "-j1")
    report = project.report()
    promised = {
        Path(entry["path"]).name: label
        for label, entry in report.items()
        if entry["path"] is not None and entry["reproducible"]
    }
    mine, theirs = project.deployables(), other.deployables()
    assert mine.keys() == theirs.keys()
    differing = [name for name in mine if mine[name] != theirs[name]]
    assert [name for name in differing if Path(name).parts[1] in promised] == []
    needle = str(tmp_path).encode()
    assert [name for name in theirs if needle in theirs[name]] == []


def test_a_second_build_of_everything_runs_nothing(all_formats: Built) -> None:
    project, _ = all_formats["digits"]
    result = project.build("-k")
    assert result.started() == 0
    assert result.ran() == {}
