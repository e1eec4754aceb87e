"""The deployables that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

from buildsys.planner.catalog import Catalog
from buildsys.recipe import Recipe
from buildsys.recipe.schema.spec import TargetEntry


@dataclass(frozen=True)
class Entry:
    """One line under `targets:`, for one model.

    Attributes:
        profile: The quantization profile that it is made with: the one that the line names, or what
            that one's search chose; `None` without one.
        accept: The tolerances that it is held to: the line's, or those of its profile's search.
        open: Whether its profile is a search that has not chosen yet.
        route: The route that it takes: the first that the line names, or the one after those that gave
            nothing; `None` where the line names none.
    """

    label: str
    target: str
    model: str
    index: int
    item: TargetEntry
    profile: str | None = None
    accept: str | None = None
    open: bool = False
    route: str | None = None

    @property
    def place(self) -> tuple[str | int, ...]:
        """Where the entry stands in the recipe."""
        return ("targets", self.target, self.index)

    def filename(self, catalog: Catalog) -> str:
        """The artifact's name below `artifacts/<target>/`."""
        parts = (self.model, self.item.quantization, self.item.name)
        return "-".join(p for p in parts if p) + catalog.formats[self.item.format].suffix


def entries(recipe: Recipe) -> list[Entry]:
    """Every deployable that the recipe asks for, in its order; their labels differ."""
    return [
        _entry(recipe, target, model, index, item)
        for target, items in recipe.spec.targets.items()
        for index, item in enumerate(items)
        for model in item.models or recipe.spec.models
    ]


def _entry(recipe: Recipe, target: str, model: str, index: int, item: TargetEntry) -> Entry:
    label, profile = item.label(target, model), item.quantization
    searched = profile is not None and recipe.spec.quantization[profile].search is not None
    choice = recipe.choices.get(label) if searched else None
    detour = recipe.detours.get(label)
    return Entry(
        label,
        target,
        model,
        index,
        item,
        profile=choice.profile if choice is not None else profile,
        accept=recipe.held_to(item),
        open=searched and choice is None,
        route=detour.taken if detour is not None else next(iter(item.routes), None),
    )


def regression_bounds(recipe: Recipe) -> dict[str, dict[str, float]]:
    """By label, the bounds against an earlier build."""
    return {entry.label: regression_bounds_of(recipe, entry) for entry in entries(recipe)}


def regression_bounds_of(recipe: Recipe, entry: Entry) -> dict[str, float]:
    """The bounds of an entry against an earlier build."""
    if entry.accept is None:
        return {}
    return recipe.spec.acceptance[entry.accept].regression_bounds(entry.target)
