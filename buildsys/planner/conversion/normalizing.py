"""The actions that make artifacts comparable whose bytes differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from buildsys.backends.base import Normaliser
from buildsys.backends.output import Output
from buildsys.planner.builder import GraphBuilder, placed
from buildsys.planner.catalog import Catalog
from buildsys.planner.drafts import Draft
from buildsys.planner.graph import Action, ActionGraph, FileInput, OutputRef
from buildsys.planner.workers import rule_worker

DESCRIBE = ".describe"


def format_made(catalog: Catalog, action: Action) -> str | None:
    """The format of an action's `artifact`, where it makes one."""
    for _, rule in catalog.rules:
        if rule.name == action.rule:
            return rule.gives
    name = action.rule.removesuffix(DESCRIBE)
    return name if action.rule.endswith(DESCRIBE) and name in catalog.formats else None


def normaliser_of(catalog: Catalog, action: Action) -> tuple[str, Normaliser] | None:
    """What normalises an action's `artifact`, with the format's name; `None` where nothing does."""
    name = format_made(catalog, action)
    declared = catalog.formats.get(name) if name is not None else None
    if name is None or declared is None or declared.normaliser is None:
        return None
    return name, declared.normaliser


def make_normalising(
    catalog: Catalog, files: Mapping[str, tuple[str, Path]]
) -> tuple[ActionGraph, dict[str, OutputRef]]:
    """A graph that normalises artifacts.

    Args:
        catalog: All backends.
        files: By a name of the caller's: the format, and where the artifact lies.

    Returns:
        The graph, and where it gives each: one `normal` a name.
    """
    found = {}
    for name, (format_name, path) in files.items():
        normaliser = catalog.formats[format_name].normaliser
        if normaliser is None:
            raise ValueError(f"nothing normalises {format_name}")
        draft = Draft(
            f"{format_name}.normalise",
            rule_worker(catalog.backend_of(format_name), function=normaliser.worker),
            slot=name,
            environment=normaliser.toolchain,
            inputs={"artifact": FileInput(path)},
            outputs=(Output("normal", "normal"),),
        )
        found[name] = draft["normal"]
    builder = GraphBuilder("normalising")
    builder.add(found.values())
    given = {name: placed(output) for name, output in found.items()}
    builder.graph.wanted = tuple(given.values())
    return builder.graph, given
