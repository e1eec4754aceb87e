"""A planned graph is reused after edits that change no graph, and planned again after all others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from buildsys.engine import graph_cache
from buildsys.engine.graph_cache import PlannedGraph
from buildsys.engine.session import Session, open_recipe
from buildsys.planner import graph_json
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion.routes import NoRoute, cheapest, found_routes, take_routes
from buildsys.planner.planning import make_graph
from buildsys.store.memo import FINE_NS
from tests.cli.inside import Inside
from tests.space import Space

REPOSITORY = Path(__file__).parents[2]
RECIPES = [*sorted(REPOSITORY.glob("recipes/*/*.yaml"))]


def recalled(space: Space, *selectors: str) -> PlannedGraph | None:
    return graph_cache.recall(space.store, space.project / "deploy.yaml", selectors)


def no_graphs(space: Space) -> bool:
    folder = space.store / graph_cache.FOLDER
    kept = list(folder.iterdir()) if folder.exists() else []
    return not any(b'"graph"' in each.read_bytes() for each in kept)


def aged() -> None:
    """Lets files that were just written grow older than the clock's grain."""
    time.sleep(2 * FINE_NS / 1e9)


@pytest.fixture
def planned(modelbuild: Inside) -> Inside:
    """A project whose graph is kept; see `built` in test_answer.py for the repetitions."""
    for _ in range(5):
        aged()
        assert modelbuild("plan").code == 0
        if recalled(modelbuild.space) is not None:
            return modelbuild
    raise AssertionError("no graph was kept")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_graph_read_from_its_record_is_the_same(path: Path, tmp_path: Path) -> None:
    if path.name.endswith(".lock.yaml"):
        pytest.skip("a lock is no recipe")
    catalog = Catalog.load()
    recipe = open_recipe(path, catalog)
    graph = make_graph(recipe, catalog)
    common, parts = json.loads(json.dumps(graph_json.to_json(graph)))
    assert graph_json.from_json(common, parts) == graph
    assert len(graph.actions) > 10


def plan_elsewhere(*, fake: bool = False) -> tuple[str, set[str]]:
    """What `modelbuild plan` prints in a process of its own, and the modules that it imported.

    Its search path and interpreter are this process's, as records of this process are for those alone.
    """
    code = (
        "import sys\n"
        f"sys.path[:] = {sys.path!r}\n"
        f"sys.executable = {sys.executable!r}\n"
        "sys.argv = ['modelbuild', 'plan']\n"
    )
    if fake:
        code += (
            "from buildsys.planner.catalog import Catalog\n"
            "from tests.fakes.numeric.rules import backend\n"
            "catalog = Catalog.load([backend])\n"
            "Catalog.load = staticmethod(lambda *_: catalog)\n"
        )
    code += (
        "from buildsys.cli.entry import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout, set(done.stderr.splitlines()[-1].split())


def test_after_an_edit_of_weights_a_plan_imports_neither_schema_nor_networkx(
    planned: Inside,
) -> None:
    space = planned.space
    planned("build")
    space.weights([[1.0, 2.0], [3.0, 4.0], [0.5, 0.5]])
    expected = planned("plan").out
    said, modules = plan_elsewhere()
    assert said == expected
    assert "weights.safetensors changed" in said
    assert {"pydantic", "yaml", "networkx", "numpy"} & modules == set()


def test_after_an_edit_of_the_recipe_routes_are_not_searched_again(planned: Inside) -> None:
    planned.space.edit("deploy.yaml", "count: 8}", "count: 7}")
    expected = planned("plan").out
    aged()
    planned.space.edit("deploy.yaml", "count: 7}", "count: 7} ")
    said, modules = plan_elsewhere(fake=True)
    assert said == expected
    assert "pydantic" in modules
    assert "networkx" not in modules


def test_routes_read_from_their_record_are_the_same() -> None:
    catalog, other = Catalog.load(), Catalog.load()
    for source in ("source:factory", "source:onnx", "source:torchscript"):
        for method in ("trace", "export"):
            with suppress(NoRoute):
                cheapest(catalog, source, method, ("tflite", None), "onnx")
                cheapest(catalog, source, method, ("coreml", "float16"))
    assert len(catalog.routes) >= 6
    take_routes(other, json.loads(json.dumps(found_routes(catalog))))
    assert other.routes == catalog.routes


def append(name: str) -> Callable[[Space], None]:
    def change(space: Space) -> None:
        with (space.project / name).open("a") as stream:
            stream.write("\n")

    return change


def folder_for_file(space: Space) -> None:
    path = space.project / "val.npz"
    path.unlink()
    path.mkdir()


SAME: dict[str, Callable[[Space], None]] = {
    "the weights": append("weights.safetensors"),
    "the model's code": append("model.py"),
    "what it imports": append("helper.py"),
    "a dataset": append("val.npz"),
    "an unrelated file": lambda space: space.write("notes.txt", "for myself"),
}
OTHER: dict[str, Callable[[Space], None]] = {
    "the recipe": append("deploy.yaml"),
    "its lock": lambda space: space.write("deploy.lock.yaml", "version: 1\nchoices: {}\n"),
    "weights that are gone": lambda space: (space.project / "weights.safetensors").unlink(),
    "a folder for a file": folder_for_file,
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_no_graph_reuses_it(planned: Inside, name: str) -> None:
    SAME[name](planned.space)
    found = recalled(planned.space)
    assert found is not None
    assert found.graph == planned.space.plan().action_graph


@pytest.mark.parametrize("name", OTHER)
def test_what_may_change_the_graph_plans_it_again(planned: Inside, name: str) -> None:
    OTHER[name](planned.space)
    assert recalled(planned.space) is None


def test_a_file_that_is_gone_is_the_same_error_as_ever(planned: Inside) -> None:
    (planned.space.project / "weights.safetensors").unlink()
    said = planned("plan")
    assert said.code == 2
    assert "no checkpoint `weights.safetensors`" in said.err
    assert "deploy.yaml:8:" in said.err


def test_other_selectors_and_another_search_path_are_other_graphs(
    planned: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert recalled(planned.space, "ios") is None
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert recalled(planned.space) is None


def test_a_module_of_a_backend_counts(planned: Inside) -> None:
    """Every module of this program that was imported, and each folder that holds backends."""
    found = recalled(planned.space)
    assert found is not None
    listed = set(found.sources)
    assert graph_cache.__file__ in listed
    assert {str(folder.parent) for folder in found.backends} <= listed
    from buildsys.planner import planning
    from tests.fakes.numeric import rules

    # A backend of another package as well, which lies in no folder of installed packages.
    assert {planning.__file__, rules.__file__} <= listed


def test_another_package_that_is_installed_counts(
    planned: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    aged()
    assert planned("plan").code == 0
    assert recalled(planned.space) is not None
    (folder / "notes.txt").write_text("no package")
    assert recalled(planned.space) is not None
    (folder / "more-1.0.dist-info").mkdir()
    assert recalled(planned.space) is None


def test_globs_of_files_must_match_as_before(modelbuild: Inside) -> None:
    space = modelbuild.space
    space.write("table.txt", "1")
    space.edit("deploy.yaml", "checkpoint: weights", "files: ['*.txt'], checkpoint: weights")
    aged()
    assert modelbuild("plan").code == 0
    assert recalled(space) is not None
    (space.project / "table.txt").unlink()
    assert recalled(space) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("project: toy", "project: ${NAME:-toy}", id="a variable, maybe a secret"),
        pytest.param(
            "  half: {scheme: float16}",
            "  half: {search: {schemes: [float16], subject_to: close, minimize: size}}",
            id="a search that has not chosen",
        ),
    ],
)
def test_no_graph_is_kept_of_what_a_stat_cannot_tell(
    modelbuild: Inside, before: str, after: str
) -> None:
    modelbuild.space.edit("deploy.yaml", before, after)
    aged()
    assert modelbuild("plan").code == 0
    assert no_graphs(modelbuild.space)


def test_no_graph_is_kept_of_steps_that_look_at_the_machine(
    modelbuild: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "asks_machine", lambda *_: True)
    aged()
    assert modelbuild("plan").code == 0
    assert no_graphs(modelbuild.space)


def test_a_failed_step_still_points_into_the_recipe(planned: Inside) -> None:
    planned.space.write("model.py", "def build(scale):\n    raise ValueError('no')\n")
    assert recalled(planned.space) is not None
    said = planned("build")
    assert said.code == 1
    assert "deploy.yaml:8:" in said.err + said.out


def test_a_damaged_record_is_none(planned: Inside) -> None:
    files = list((planned.space.store / graph_cache.FOLDER).iterdir())
    (file,) = [each for each in files if b'"graph"' in each.read_bytes()]
    whole = file.read_bytes()
    for length in range(0, len(whole), 211):
        file.write_bytes(whole[:length])
        assert recalled(planned.space) is None
    for place in range(0, len(whole), 223):
        data = bytearray(whole)
        data[place] ^= 1
        file.write_bytes(data)
        assert recalled(planned.space) is None
    file.write_bytes(whole)
    assert recalled(planned.space) is not None


def test_a_build_without_a_store_needs_no_record(planned: Inside) -> None:
    shutil.rmtree(planned.space.store)
    said = planned("build", "--json")
    assert said.code == 0
    last: dict[str, Any] = said.lines()[-1]
    assert last["summary"]["ran"] == 16
