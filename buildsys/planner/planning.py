"""Recipe and selectors to an action graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from buildsys.backends.base import Format
from buildsys.planner.bounds import LATENCY_BOUNDS, SIZE_BOUNDS, Bounds, judges_errors
from buildsys.planner.builder import GraphBuilder, NotInGraph
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion.describing import Described, describe
from buildsys.planner.conversion.profiles import coarse
from buildsys.planner.conversion.routes import NoRoute, Step, cheapest, refined, refiners
from buildsys.planner.conversion.steps import Artifact, Goal, follow
from buildsys.planner.conversion.transforming import source_of
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.planner.notices import notices, unjudged
from buildsys.planner.selectors import select
from buildsys.planner.source import ModelSource
from buildsys.planner.verification.benchmarking import benchmark
from buildsys.planner.verification.locating import locate
from buildsys.planner.verification.measuring import check, check_original, measure, runner, widens
from buildsys.planner.verification.sensitivity import sensitivity
from buildsys.recipe import Diagnostic, Recipe, RecipeError
from buildsys.recipe.schema.spec import TargetEntry
from buildsys.verify.judgment.defaults import default_bounds

UNQUANTIZED = "weights and arithmetic in the model's own precision"


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
    item: Any
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
    return {entry.label: _regression_bounds(recipe, entry) for entry in entries(recipe)}


def _regression_bounds(recipe: Recipe, entry: Entry) -> dict[str, float]:
    if entry.accept is None:
        return {}
    return recipe.spec.acceptance[entry.accept].regression_bounds(entry.target)


def make_graph(recipe: Recipe, catalog: Catalog, selectors: Iterable[str] = ()) -> ActionGraph:
    """The actions for the selected deployables.

    Raises:
        RecipeError: A deployable has no route.
        NoMatch: A selector matches nothing.
    """
    planning, labels = _planned(recipe, catalog, selectors)
    planning.name_baselines()
    planning.graph.labels = tuple(labels)
    return planning.graph


def make_location(recipe: Recipe, catalog: Catalog, label: str) -> tuple[ActionGraph, OutputRef]:
    """The actions that find where a deployable parts from the original, and their `location`.

    Only what leads to it is in the graph: neither bounds nor figures keep a fault from being found.

    Raises:
        RecipeError: The deployable has no route.
        NoMatch: No deployable has this label.
        NoProbe: Nothing shows the values within its format.
        ValueError: The label is a selector for several.
    """
    planning, labels = _planned(recipe, catalog, [label])
    if len(planning.graph.deployables) != 1:
        raise ValueError(f"{label} is {len(planning.graph.deployables)} deployables")
    found = planning.locate()
    graph = ActionGraph(labels=tuple(labels), wanted=(found,))
    graph.actions = {name: planning.graph.actions[name] for name in planning.graph.below(found)}
    return graph, found


def make_measurements(
    recipe: Recipe, catalog: Catalog, selectors: Iterable[str] = ()
) -> tuple[ActionGraph, list[Deployable]]:
    """The actions that measure the selected deployables, and these; the graph places nothing.

    Raises:
        RecipeError: A deployable has no route.
        NoMatch: A selector matches nothing.
    """
    planning, labels = _planned(recipe, catalog, selectors)
    deployables = planning.graph.deployables
    wanted = tuple(dict.fromkeys(d.measurement for d in deployables if d.measurement is not None))
    graph = ActionGraph(labels=tuple(labels), wanted=wanted)
    graph.actions = {n: planning.graph.actions[n] for n in planning.graph.below_all(wanted)}
    return graph, deployables


def make_sensitivity(
    recipe: Recipe, catalog: Catalog, label: str
) -> tuple[ActionGraph, OutputRef, str]:
    """The actions that quantize each layer of a deployable alone, their `sensitivity`, and the profile.

    Raises:
        RecipeError: The deployable has no route.
        NoMatch: No deployable has this label.
        NoSensitivity: Its layers cannot be quantized one by one.
        ValueError: The label is a selector for several.
    """
    planning, labels = _planned(recipe, catalog, [label])
    if len(planning.graph.deployables) != 1:
        raise ValueError(f"{label} is {len(planning.graph.deployables)} deployables")
    found = planning.sensitivity()
    graph = ActionGraph(labels=tuple(labels), wanted=(found,))
    graph.actions = {name: planning.graph.actions[name] for name in planning.graph.below(found)}
    (deployable,) = planning.graph.deployables
    return graph, found, deployable.chosen or deployable.profile or ""


def _planned(
    recipe: Recipe, catalog: Catalog, selectors: Iterable[str]
) -> tuple[Planning, list[str]]:
    """A pass over the selected entries, and every label of the recipe."""
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
            place = entry.place + (("route",) if entry.route else ("format",))
            failures.append(Diagnostic(error.message, recipe.where(*place), hint=error.hint))
    if failures:
        raise RecipeError(tuple(failures))
    return planning, labels


def _detoured(recipe: Recipe, entry: Entry) -> list[str]:
    """Which route is taken in place of those that gave nothing, and why."""
    detour = recipe.detours.get(entry.label)
    if detour is None:
        return []
    whys = "; ".join(f"`route: {word}`: {why}" for word, why in detour.failed.items())
    return [f"`route: {detour.taken}` was taken, since another gave nothing: {whys}"]


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
        if entry.open:
            raise Unread(
                f"`{entry.label}` is not chosen yet: `{entry.profile}` is a search",
                "`modelbuild build` searches, and writes what it finds to "
                f"`{self._recipe.lock.name}`",
                ("quantization",),
            )
        source = self._source(entry.model)
        item, profile = entry.item, entry.profile
        declared = self._catalog.formats[item.format]
        scheme = self._recipe.spec.quantization[profile].scheme if profile else None
        steps = cheapest(
            self._catalog, source.state, source.method, (item.format, scheme), entry.route
        )
        self._check_read(entry, steps)
        options = self._given_options(entry)
        steps = refined(self._catalog, steps, item.format, options)
        goal = Goal(item.format, options, entry.label, entry.place, profile)
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
        held = self._bounds(entry, scheme, judged_format)
        bounds = held.general
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
                scheme,
            )
        original = None
        if figures is None and declared.numeric:
            original = check_original(self._builder, self._recipe, source)
        beside = self._beside(entry, goal, scheme, bounds)
        timed = None
        if unrun is None and (source.model.benchmark or LATENCY_BOUNDS & set(bounds)):
            timed = benchmark(
                self._builder,
                self._recipe,
                source,
                item.format,
                made,
                beside,
                entry.label,
                options,
            )
        wanted = (
            made.artifact,
            described.io,
            figures,
            checked,
            original,
            beside.artifact if beside is not None and SIZE_BOUNDS & set(bounds) else None,
            timed,
        )
        detour = self._recipe.detours.get(entry.label)
        later = unjudged(_regression_bounds(self._recipe, entry))
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
                chosen=profile if entry.label in self._recipe.choices else None,
                scheme=scheme,
                precision=next(
                    (s.exact_types for s in declared.schemes if s.name == scheme), UNQUANTIZED
                ),
                widens=figures is not None and widens(declared, scheme),
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
                evaluated=self._evaluated(judged_format) if figures is not None else None,
                unverified=None if figures else unrun or self._unverified(declared),
                baseline=beside.artifact if beside is not None else None,
                benchmark=timed,
                acceptance=held.name,
                bounds=bounds,
                output_bounds=held.outputs,
                default=held.default,
                actions=tuple(needed),
                place=entry.place,
                notices=(
                    *notices(declared, options, source.ports),
                    *_detoured(self._recipe, entry),
                    *([later] if later else []),
                ),
                unjudged=later,
                legacy=declared.legacy,
                probed=declared.probe is not None,
                left=tuple(detour.failed) if detour is not None else (),
            )
        )

    def locate(self) -> OutputRef:
        """Adds what locates a fault of the one deployable that was added.

        Raises:
            NoProbe: Its format has no probe.
        """
        (deployable,) = self.graph.deployables
        source = self._source(deployable.model)
        found = locate(self._builder, self._recipe, source, deployable)
        for name in self.graph.below(found):
            labels = self.graph.actions[name].labels
            if deployable.label not in labels:
                labels.append(deployable.label)
        return found

    def sensitivity(self) -> OutputRef:
        """Adds what quantizes each layer of the one deployable that was added alone.

        Raises:
            NoSensitivity: Its layers cannot be quantized one by one.
        """
        (deployable,) = self.graph.deployables
        source = self._source(deployable.model)
        found = sensitivity(self._builder, self._recipe, source, deployable, deployable.options)
        labels = self.graph.actions[found.action].labels
        if deployable.label not in labels:
            labels.append(deployable.label)
        return found

    def _unverified(self, declared: Format) -> str:
        for runtime in (declared.runtime, declared.evaluator):
            cannot = self._builder.cannot_run(runtime) if runtime else None
            if cannot is not None:
                return cannot
        return declared.unverified

    def _evaluated(self, format_name: str) -> str | None:
        """What is left unproven where an evaluator stands in for a format's runtime."""
        declared = self._catalog.formats[format_name]
        by = runner(self._builder, declared)
        return declared.evaluated if by is not None and by.evaluates else None

    def _check_read(self, entry: Entry, steps: tuple[Step, ...]) -> None:
        """What is asked for and would be passed over silently is an error."""
        item = entry.item
        makers = [step.rule for step in steps if step.rule.gives == item.format]
        read = {name for rule in makers for name in rule.options}
        # What refines an artifact reads its options even where they say that it is not asked for.
        read |= {n for _, rule in refiners(self._catalog, item.format) for n in rule.options}
        if entry.route is not None and entry.route not in {rule.route for rule in makers}:
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

    def _source(self, model: str) -> ModelSource:
        found = self._sources.get(model)
        if found is None:
            found = source_of(self._builder, self._recipe, model)
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
            self._catalog, source.state, source.method, (item.format, None), entry.route
        )
        steps = refined(self._catalog, steps, item.format, options)
        made = follow(self._builder, self._recipe, source, steps, goal)
        # Compared with what would ship, where the graph has it.
        with suppress(NotInGraph):
            return replace(made, artifact=self._described(source, goal, made).artifact)
        return made

    def _described(self, source: ModelSource, goal: Goal, made: Artifact) -> Described:
        return describe(self._builder, source, goal.format, made.artifact, made.io, goal.slot)

    def _bounds(self, entry: Entry, scheme: str | None, judged_format: str) -> Bounds:
        name, usual = entry.accept, self._default_bounds(entry, scheme, judged_format)
        if name is None:
            return Bounds("default", usual, {}, default=True)
        acceptance = self._recipe.spec.acceptance[name]
        own = self._recipe.spec.models[entry.model].outputs
        specific = {
            output: each
            for output, each in acceptance.output_bounds(entry.target).items()
            if output in own
        }
        bounds = acceptance.bounds(entry.target)
        if not judges_errors(bounds, specific):
            # Nor do bounds against an earlier build say how right this one is.
            return Bounds(name, {**usual, **bounds}, {}, default=True)
        return Bounds(name, bounds, specific, default=False)

    def _default_bounds(
        self, entry: Entry, scheme: str | None, judged_format: str
    ) -> Mapping[str, float]:
        profile, source = entry.profile, self._source(entry.model)
        by = runner(self._builder, self._catalog.formats[judged_format])
        return default_bounds(
            scheme,
            evaluated=by is not None and by.evaluates,
            approximates=by is not None and bool(by.runtime.approximates),
            coarse=profile is not None and coarse(self._recipe, profile),
            metric=source.model.evaluate is not None,
            transformed=source.original is not None,
        )

    def _beside(
        self, entry: Entry, goal: Goal, scheme: str | None, bounds: Mapping[str, float]
    ) -> Artifact | None:
        """The unquantized artifact that this one is compared with; built for it."""
        asked = self._source(entry.model).model.benchmark is not None
        if scheme is None or not (asked or (SIZE_BOUNDS | LATENCY_BOUNDS) & set(bounds)):
            return None
        return self._unquantized(entry, goal.options)
