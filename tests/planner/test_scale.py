"""Loading and planning take time in proportion to the recipe. Counts are gated, not seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks import copying_backend, shape
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import Recipe, load

FEW, MANY = 20, 80
"""Models."""
MOST_GROWTH = 1.1 * MANY / FEW


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load([copying_backend.load()])


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    found = {}
    for models in (FEW, MANY):
        found[models] = tmp_path_factory.mktemp("scale") / "project"
        shape.write("modelbuild", models * shape.PER_MODEL, found[models])
    return found


def read(project: Path, catalog: Catalog) -> Recipe:
    return load(project / "deploy.yaml", environ=os.environ, checks=[check(catalog)])


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, those in C included."""
    count = 0

    def told(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(told)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_reading_a_recipe(projects: dict[int, Path], catalog: Catalog) -> None:
    read(projects[FEW], catalog)  # What is remembered for ever is not counted.
    few, many = (calls(lambda m=m: read(projects[m], catalog)) for m in (FEW, MANY))  # type: ignore[misc]
    assert many <= MOST_GROWTH * few


def test_making_a_graph(projects: dict[int, Path], catalog: Catalog) -> None:
    recipes = {models: read(project, catalog) for models, project in projects.items()}
    make_graph(recipes[FEW], catalog)
    few, many = (calls(lambda m=m: make_graph(recipes[m], catalog)) for m in (FEW, MANY))  # type: ignore[misc]
    assert many <= MOST_GROWTH * few


def test_no_deployable_walks_the_whole_graph(
    projects: dict[int, Path], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read(projects[MANY], catalog)
    looked_at = 0
    upstream = Action.upstream

    def counting(action: Action) -> list[str]:
        nonlocal looked_at
        looked_at += 1
        return upstream(action)

    monkeypatch.setattr(Action, "upstream", counting)
    graph = make_graph(recipe, catalog)
    assert len(graph.actions) == MANY * shape.PER_MODEL
    assert looked_at == sum(len(deployable.actions) for deployable in graph.deployables)


def test_a_graph_keeps_its_order(projects: dict[int, Path], catalog: Catalog) -> None:
    graph = make_graph(read(projects[FEW], catalog), catalog)
    order = {name: number for number, name in enumerate(graph.actions)}
    assert [action.number for action in graph.actions.values()] == list(order.values())
    for action in graph.actions.values():
        assert all(order[name] < action.number for name in action.upstream())
    for deployable in graph.deployables:
        assert list(deployable.actions) == sorted(deployable.actions, key=order.__getitem__)
        below = graph.below(deployable.artifact)
        assert below == sorted(below, key=order.__getitem__)
        assert set(below) <= set(deployable.actions)


def test_a_recipe_may_hold_as_many_values_as_it_has_characters(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildsys.recipe.text.parsing.MOST_NODES", 100)
    shape.write("modelbuild", 100, tmp_path / "project")
    assert len(read(tmp_path / "project", catalog).spec.models) == 10
