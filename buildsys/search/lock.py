"""Writes `deploy.lock.yaml`: what searches chose, and what they saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from buildsys.engine.outcome.placing import write_text
from buildsys.planner.choices.choosing import VERSION
from buildsys.planner.conversion import detours
from buildsys.planner.entries import entries
from buildsys.recipe import Recipe
from buildsys.search.searching import Found
from buildsys.store.content import writing

HEAD = """\
# What the searches of {recipe} chose, with the figures of their candidates, and which routes were taken in
# place of those that failed. Written by `modelbuild build`. Commit it: the next build takes these choices and
# searches no more, until the search or the routes, its profiles or bounds, or the model as declared change,
# or `modelbuild build --search` asks again.
"""


def entry(found: Found) -> dict[str, Any]:
    """A choice as the lock has it."""
    candidate = found.candidate
    record: dict[str, Any] = {
        "asked": found.question.asked,
        "profile": candidate.name,
        "built": found.built,
        "candidates": [figures.to_json() for figures in found.figures],
    }
    if found.float_bytes is not None:
        record["float_bytes"] = found.float_bytes
    if candidate.variant:
        record["settings"] = candidate.profile.model_dump(mode="json", exclude_defaults=True)
    return record


def write(recipe: Recipe, chosen: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the lock, as a whole or not at all.

    Choices for labels that the recipe no longer has are left out.

    Args:
        recipe: The recipe.
        chosen: What searches chose just now, by label; choices of others stay.

    Raises:
        StoreError: It cannot be written.
    """
    everything = entries(recipe)
    labels = {each.label for each in everything}
    # What came nearest, where nothing was good enough, is no choice.
    kept = {
        label: choice.found
        for label, choice in recipe.choices.items()
        if choice.found and choice.found.get("passed", True)
    }
    choices = {
        label: {key: value for key, value in found.items() if key != "passed"}
        for label, found in {**kept, **chosen}.items()
        if label in labels
    }
    record: dict[str, Any] = {"version": VERSION, "choices": choices}
    routes = {
        entry.label: detours.record(recipe, entry, recipe.detours[entry.label])
        for entry in everything
        if entry.label in recipe.detours
    }
    if routes:
        record["routes"] = routes
    text = yaml.dump(record, Dumper=_Plain, sort_keys=True, width=10_000, default_flow_style=None)
    # A `$` would be a variable to whoever reads it.
    body = text.replace("$", "$$")
    with writing(recipe.lock):
        write_text(recipe.lock, HEAD.format(recipe=recipe.path.name) + body)


class _Plain(yaml.SafeDumper):
    """Writes what is equal twice, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
