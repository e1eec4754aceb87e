"""Projects whose recipe asks for each of their models in every format that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.zoo import project as zoo
from buildsys.planner.catalog import Catalog, load_built_in
from tests.e2e.project import Project

TARGET = "edge"
PAIR = ("bert", "mobilenet_v2")
"""A transformer (whole numbers, a mask, a dynamic length) and an image model of the zoo."""
OTHERWISE = {
    "coreml": "checked",
    "mlmodel": "unverified",
    "ort_config": "unverified",
    "tensorrt": "blocked",
    "torch_tensorrt": "blocked",
    "triton": "checked",
}
"""Formats that are not `verified` on this machine, and what they are instead."""


def formats() -> list[str]:
    """Every format that comes with the package."""
    return Catalog.load(load_built_in()).deployable_formats()


def wanted(models: list[str]) -> dict[str, str]:
    """The status that each deployable is to have, by label."""
    return {
        f"{TARGET}/{model}.{name}": OTHERWISE.get(name, "verified")
        for model in models
        for name in formats()
    }


def recipe_of(project: Project) -> dict[str, Any]:
    """A project's recipe as plain data."""
    found: dict[str, Any] = yaml.safe_load((project.folder / "deploy.yaml").read_text())
    return found


def ask_for_everything(project: Project) -> None:
    """Has the recipe ask for every format, without tolerances of its own: the defaults hold."""
    recipe = recipe_of(project)
    recipe["targets"] = {TARGET: [{"format": name} for name in formats()]}
    (project.folder / "deploy.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


def pair(root: Path, hash_seed: str) -> Project:
    """The zoo's transformer and image model, as a project that asks for every format."""
    project = Project(root / "pair", root / "store", hash_seed)
    project.folder.mkdir(parents=True)
    zoo.write(project.folder, PAIR, [])
    ask_for_everything(project)
    return project


def committed(recipe: str, root: Path, hash_seed: str) -> Project:
    """A copy of a committed recipe that asks for every format."""
    project = Project.copy_of(recipe, root, hash_seed)
    ask_for_everything(project)
    return project
