"""Recipe and selectors to an action graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from buildsys.planner.builder import GraphBuilder
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion import Artifact, Goal, follow
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.planner.measuring import measure
from buildsys.planner.routes import NoRoute, cheapest
from buildsys.planner.selectors import select
from buildsys.planner.source import ModelSource
from buildsys.recipe import Diagnostic, Recipe, RecipeError
from buildsys.verify.defaults import default_bounds

SIZE_BOUNDS, LATENCY_BOUNDS = {"size_ratio"}, {"latency_ratio"}


@dataclass(frozen=True)
class Entry:
    """One line under `targets:`, for one model."""

    label: str
    target: str
    model: str
    index: int
    item: Any

    @property
    def place(self) -> tuple[str | int, ...]:
        """Where the entry stands in the recipe."""
        return ("targets", self.target, self.index)


def entries(recipe: Recipe) -> list[Entry]:
    """Every deployable that the recipe asks for, in its order; their labels differ."""
    return [
        Entry(item.label(target, model), target, model, index, item)
        for target, items in recipe.spec.targets.items()
        for index, item in enumerate(items)
        for model in item.models or recipe.spec.models
    ]


def make_graph(recipe: Recipe, catalog: Catalog, selectors: Iterable[str] = ()) -> ActionGraph:
    """The actions for the selected deployables.

    Raises:
        RecipeError: A deployable has no route.
        NoMatch: A selector matches nothing.
    """
    everything = entries(recipe)
    labels = [entry.label for entry in everything]
    chosen = set(select(selectors, labels))
    planning = Planning(recipe, catalog)
    failures = []
    for entry in everything:
        if entry.label not in chosen:
            continue
        try:
            planning.add(entry)
        except NoRoute as error:
            place = entry.place + (("route",) if entry.item.route else ("format",))
            failures.append(Diagnostic(error.message, recipe.where(*place), hint=error.hint))
    if failures:
        raise RecipeError(tuple(failures))
    planning.graph.labels = tuple(labels)
    return planning.graph


class Planning:
    """One pass over the selected entries."""

    def __init__(self, recipe: Recipe, catalog: Catalog) -> None:
        self._recipe = recipe
        self._catalog = catalog
        self._builder = GraphBuilder(recipe.spec.project, catalog)
        self._sources = {
            name: ModelSource.of(recipe, name, model) for name, model in recipe.spec.models.items()
        }

    @property
    def graph(self) -> ActionGraph:
        """What has been planned so far."""
        return self._builder.graph

    def add(self, entry: Entry) -> None:
        """Adds a deployable and everything it needs.

        Raises:
            NoRoute: Nothing leads to its format.
        """
        source = self._sources[entry.model]
        item = entry.item
        declared = self._catalog.formats[item.format]
        scheme = (
            self._recipe.spec.quantization[item.quantization].scheme if item.quantization else None
        )
        steps = cheapest(
            self._catalog, source.state, source.method, (item.format, scheme), item.route
        )
        options = declared.options.model_validate(item.options).model_dump(mode="json")
        goal = Goal(item.format, options, entry.label, entry.place, item.quantization)
        made = follow(self._builder, self._recipe, source, steps, goal)
        figures = measure(self._builder, self._recipe, source, item.format, made, entry.label)
        acceptance, bounds = self._bounds(entry, scheme)
        baseline, baseline_run = self._baseline(entry, source, goal, scheme, bounds)
        wanted = (
            made.artifact,
            figures,
            baseline if SIZE_BOUNDS & set(bounds) else None,
            baseline_run,
        )
        needed = {name for ref in wanted for name in self.graph.below(ref)}
        for name in needed:
            if entry.label not in self.graph.actions[name].labels:
                self.graph.actions[name].labels.append(entry.label)
        stem = "-".join(part for part in (entry.model, item.quantization, item.name) if part)
        self.graph.deployables.append(
            Deployable(
                label=entry.label,
                target=entry.target,
                model=entry.model,
                format=declared.name,
                filename=stem + declared.suffix,
                profile=item.quantization,
                scheme=scheme,
                options=options,
                route=tuple(step.rule.name for step in steps),
                reproducible=all(step.rule.reproducible for step in steps),
                artifact=made.artifact,
                io=made.io,
                measurement=figures,
                unverified=None if figures else declared.unverified,
                baseline=baseline,
                baseline_run=baseline_run,
                acceptance=acceptance,
                bounds=bounds,
                actions=tuple(name for name in self.graph.actions if name in needed),
                place=entry.place,
            )
        )

    def _bounds(self, entry: Entry, scheme: str | None) -> tuple[str, Mapping[str, float]]:
        if entry.item.accept is None:
            return "default", default_bounds(scheme)
        acceptance = self._recipe.spec.acceptance[entry.item.accept]
        return entry.item.accept, acceptance.model_dump(exclude_none=True)

    def _baseline(
        self,
        entry: Entry,
        source: ModelSource,
        goal: Goal,
        scheme: str | None,
        bounds: Mapping[str, float],
    ) -> tuple[OutputRef | None, OutputRef | None]:
        """The unquantized artifact that ratios are taken against, and its figures.

        It is built for a bound that needs it; else it is named only where it is built anyway.
        """
        if scheme is None:
            return None, None
        steps = cheapest(
            self._catalog, source.state, source.method, (goal.format, None), entry.item.route
        )
        wanted = bool((SIZE_BOUNDS | LATENCY_BOUNDS) & set(bounds))
        builder = self._builder if wanted else self._builder.sketch()
        made: Artifact = follow(builder, self._recipe, source, steps, goal)
        if not wanted and made.artifact.action not in self.graph.actions:
            return None, None
        if not LATENCY_BOUNDS & set(bounds):
            return made.artifact, None
        figures = measure(self._builder, self._recipe, source, goal.format, made, entry.label)
        return made.artifact, figures
