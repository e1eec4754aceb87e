"""Recipe and selectors to an action graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from buildsys.backends.base import Format
from buildsys.planner.builder import GraphBuilder, NotInGraph
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion import Artifact, Goal, follow
from buildsys.planner.describing import Described, describe
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.planner.measuring import check, check_original, measure
from buildsys.planner.notices import notices
from buildsys.planner.routes import NoRoute, Step, cheapest, refined, refiners
from buildsys.planner.selectors import select
from buildsys.planner.source import ModelSource
from buildsys.recipe import Diagnostic, Recipe, RecipeError
from buildsys.verify.defaults import default_bounds

UNQUANTIZED = "weights and arithmetic in the model's own precision"
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

    def filename(self, catalog: Catalog) -> str:
        """The artifact's name below `artifacts/<target>/`."""
        parts = (self.model, self.item.quantization, self.item.name)
        return "-".join(p for p in parts if p) + catalog.formats[self.item.format].suffix


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
        except Unread as error:
            failures.append(
                Diagnostic(error.message, recipe.where_key(*entry.place, *error.keys), error.hint)
            )
        except NoRoute as error:
            place = entry.place + (("route",) if entry.item.route else ("format",))
            failures.append(Diagnostic(error.message, recipe.where(*place), hint=error.hint))
    if failures:
        raise RecipeError(tuple(failures))
    planning.name_baselines()
    planning.graph.labels = tuple(labels)
    return planning.graph


class Unread(Exception):
    """The recipe asks for something that no step on the way reads."""

    def __init__(self, message: str, hint: str, keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.message, self.hint, self.keys = message, hint, keys


class Planning:
    """One pass over the selected entries."""

    def __init__(self, recipe: Recipe, catalog: Catalog) -> None:
        self._recipe = recipe
        self._catalog = catalog
        self._builder = GraphBuilder(recipe.spec.project, catalog)
        self._sources: dict[str, ModelSource] = {}
        self._options: dict[tuple[str | int, ...], dict[str, Any]] = {}
        self._entries: list[Entry] = []

    @property
    def graph(self) -> ActionGraph:
        """What has been planned so far."""
        return self._builder.graph

    def add(self, entry: Entry) -> None:
        """Adds a deployable and everything it needs.

        Raises:
            NoRoute: Nothing leads to its format.
        """
        source = self._source(entry.model)
        item = entry.item
        declared = self._catalog.formats[item.format]
        scheme = (
            self._recipe.spec.quantization[item.quantization].scheme if item.quantization else None
        )
        steps = cheapest(
            self._catalog, source.state, source.method, (item.format, scheme), item.route
        )
        self._check_read(entry, steps)
        options = self._given_options(entry)
        steps = refined(self._catalog, steps, item.format, options)
        goal = Goal(item.format, options, entry.label, entry.place, item.quantization)
        converted = follow(self._builder, self._recipe, source, steps, goal)
        described = self._described(source, goal, converted)
        # Run with what it was converted to: words for apps are no reason to run it again.
        made = replace(converted, artifact=described.artifact)
        checked = check(self._builder, source, item.format, made, entry.label)
        if checked is not None and made.taken is not None:
            # Its figures are those of what is in it.
            judged, judged_format = made.taken, steps[-1].taken
            judged_options = self._builder.defaults(judged_format)
        else:
            judged, judged_format, judged_options = made, item.format, options
        unrun = declared.unrun(options)
        figures = None
        if unrun is None:
            figures = measure(
                self._builder,
                self._recipe,
                source,
                judged_format,
                judged,
                entry.label,
                judged_options,
            )
        original = None
        if figures is None and declared.numeric:
            original = check_original(self._builder, self._recipe, source)
        acceptance, bounds = self._bounds(entry, scheme)
        baseline, baseline_run = self._baseline(entry, goal, scheme, bounds)
        wanted = (
            made.artifact,
            described.io,
            figures,
            checked,
            original,
            baseline if SIZE_BOUNDS & set(bounds) else None,
            baseline_run,
        )
        needed = self.graph.below_all(wanted)
        for name in needed:
            self.graph.actions[name].labels.append(entry.label)
        self._entries.append(entry)
        self.graph.deployables.append(
            Deployable(
                label=entry.label,
                target=entry.target,
                model=entry.model,
                format=declared.name,
                filename=entry.filename(self._catalog),
                profile=item.quantization,
                scheme=scheme,
                precision=next(
                    (s.exact_types for s in declared.schemes if s.name == scheme), UNQUANTIZED
                ),
                options=options,
                route=(
                    *(step.rule.name for step in steps),
                    *([described.rule] if described.rule else []),
                ),
                reproducible=all(step.rule.reproducible for step in steps),
                artifact=described.artifact,
                io=described.io,
                measurement=figures,
                check=checked,
                unverified=None if figures else unrun or self._unverified(declared),
                baseline=baseline,
                baseline_run=baseline_run,
                acceptance=acceptance,
                bounds=bounds,
                actions=tuple(needed),
                place=entry.place,
                notices=tuple(notices(declared, options, source.ports)),
                legacy=declared.legacy,
            )
        )

    def _unverified(self, declared: Format) -> str:
        cannot = self._builder.cannot_run(declared.runtime) if declared.runtime else None
        return cannot or declared.unverified

    def _check_read(self, entry: Entry, steps: tuple[Step, ...]) -> None:
        """What is asked for and would be passed over silently is an error."""
        item = entry.item
        makers = [step.rule for step in steps if step.rule.gives == item.format]
        read = {name for rule in makers for name in rule.options}
        # What refines an artifact reads its options even where they say that it is not asked for.
        read |= {n for _, rule in refiners(self._catalog, item.format) for n in rule.options}
        if item.route is not None and item.route not in {rule.route for rule in makers}:
            raise Unread(
                f"`{entry.model}` comes to {item.format} by {makers[0].name}, the only way: "
                "`route` would mean nothing",
                "delete it, or leave the model out with `models`",
                ("route",),
            )
        for name in item.options:
            if name not in read:
                raise Unread(
                    f"`{entry.model}` comes to {item.format} by {makers[-1].name}, which has no "
                    f"option `{name}`",
                    "delete it, or leave the model out with `models`",
                    ("options", name),
                )
        profile = self._recipe.spec.quantization.get(item.quantization or "")
        if profile is None or any(rule.quantizes for rule in makers):
            return
        if profile.keep_float:
            raise Unread(
                f"{item.format} takes `{profile.scheme}` for the whole model: `keep_float` of "
                f"`{item.quantization}` would mean nothing",
                "give it a profile without `keep_float`",
                ("quantization",),
            )

    def _source(self, model: str) -> ModelSource:
        found = self._sources.get(model)
        if found is None:
            found = ModelSource.of(self._recipe, model, self._recipe.spec.models[model])
            self._sources[model] = found
        return found

    def _given_options(self, entry: Entry) -> dict[str, Any]:
        """All options of an entry's format; one line of the recipe is for many models."""
        found = self._options.get(entry.place)
        if found is None:
            declared = self._catalog.formats[entry.item.format]
            found = declared.options.model_validate(entry.item.options).model_dump(mode="json")
            self._options[entry.place] = found
        return found

    def name_baselines(self) -> None:
        """Names the unquantized artifacts that the finished graph builds anyway, for the report."""
        self._builder.finished = True
        for number, (entry, deployable) in enumerate(
            zip(self._entries, self.graph.deployables, strict=True)
        ):
            if deployable.baseline is None and deployable.scheme is not None:
                with suppress(NotInGraph):
                    found = self._unquantized(entry, deployable.options).artifact
                    self.graph.deployables[number] = replace(deployable, baseline=found)

    def _unquantized(self, entry: Entry, options: Mapping[str, Any]) -> Artifact:
        source, item = self._source(entry.model), entry.item
        goal = Goal(item.format, options, entry.label, entry.place)
        steps = cheapest(
            self._catalog, source.state, source.method, (item.format, None), item.route
        )
        steps = refined(self._catalog, steps, item.format, options)
        made = follow(self._builder, self._recipe, source, steps, goal)
        # Compared with what would ship, where the graph has it.
        with suppress(NotInGraph):
            return replace(made, artifact=self._described(source, goal, made).artifact)
        return made

    def _described(self, source: ModelSource, goal: Goal, made: Artifact) -> Described:
        return describe(self._builder, source, goal.format, made.artifact, made.io, goal.slot)

    def _bounds(self, entry: Entry, scheme: str | None) -> tuple[str, Mapping[str, float]]:
        if entry.item.accept is None:
            return "default", default_bounds(scheme)
        acceptance = self._recipe.spec.acceptance[entry.item.accept]
        return entry.item.accept, acceptance.model_dump(exclude_none=True)

    def _baseline(
        self, entry: Entry, goal: Goal, scheme: str | None, bounds: Mapping[str, float]
    ) -> tuple[OutputRef | None, OutputRef | None]:
        """The unquantized artifact that a bound is taken against, and its figures; built for it."""
        if scheme is None or not (SIZE_BOUNDS | LATENCY_BOUNDS) & set(bounds):
            return None, None
        made = self._unquantized(entry, goal.options)
        if not LATENCY_BOUNDS & set(bounds):
            return made.artifact, None
        source = self._source(entry.model)
        figures = measure(
            self._builder, self._recipe, source, goal.format, made, entry.label, goal.options
        )
        return made.artifact, figures
