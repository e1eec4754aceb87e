"""Recipe and selectors to an action graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from buildsys.planner.builder import GraphBuilder, placed
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion.converting import Unread, convert, unquantized
from buildsys.planner.conversion.routes import NoRoute
from buildsys.planner.conversion.transforming import planned_model
from buildsys.planner.deployables import add_deployable
from buildsys.planner.drafts import DraftOutput
from buildsys.planner.entries import Entry, entries
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.planner.machine import Machine
from buildsys.planner.model import PlannedModel
from buildsys.planner.selectors import select
from buildsys.planner.verification.locating import locate
from buildsys.planner.verification.sensitivity import sensitivity
from buildsys.planner.verification.verifying import verify
from buildsys.recipe import Diagnostic, Recipe, RecipeError


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
    measured = dict.fromkeys(deployable.evidence.measurement for deployable in deployables)
    wanted = tuple(each for each in measured if each is not None)
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
    return graph, found, deployable.quantized.chosen or deployable.quantized.profile or ""


def _planned(
    recipe: Recipe, catalog: Catalog, selectors: Iterable[str]
) -> tuple[Planning, list[str]]:
    """A pass over the selected entries, and every label of the recipe."""
    planning = Planning(recipe, catalog)
    everything = entries(recipe)
    labels = [entry.label for entry in everything]
    chosen = set(select(selectors, labels))
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


class Planning:
    """One pass over the selected entries."""

    def __init__(self, recipe: Recipe, catalog: Catalog) -> None:
        self._recipe = recipe
        self._machine = Machine(catalog)
        self._builder = GraphBuilder(recipe.spec.project)
        self._models: dict[str, PlannedModel] = {}
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
            Unread: It asks for what nothing reads.
        """
        if entry.open:
            raise Unread(
                f"`{entry.label}` is not chosen yet: `{entry.profile}` is a search",
                "`modelbuild build` searches, and writes what it finds to "
                f"`{self._recipe.lock.name}`",
                ("quantization",),
            )
        options = self._given_options(entry)
        model = self._model(entry.model)
        conversion = convert(model, entry, options)
        verification = verify(model, entry, conversion)
        add_deployable(self._builder, model, entry, conversion, verification)
        self._entries.append(entry)

    def name_baselines(self) -> None:
        """Names the unquantized artifacts that the finished graph builds anyway, for the report."""
        for number, (entry, deployable) in enumerate(
            zip(self._entries, self.graph.deployables, strict=True)
        ):
            if deployable.evidence.baseline is None and deployable.quantized.scheme is not None:
                made = unquantized(self._model(entry.model), entry, deployable.options)
                # Compared with what would ship, where the graph has it.
                outputs = (made.described.artifact, made.converted.artifact)
                found = next(filter(None, map(self._builder.find, outputs)), None)
                self.graph.deployables[number] = replace(
                    deployable, evidence=replace(deployable.evidence, baseline=found)
                )

    def locate(self) -> OutputRef:
        """Adds what locates a fault of the one deployable that was added.

        Raises:
            NoProbe: Its format has no probe.
        """
        (deployable,) = self.graph.deployables
        return self._label(locate(self._model(deployable.model), self.graph, deployable))

    def sensitivity(self) -> OutputRef:
        """Adds what quantizes each layer of the one deployable that was added alone.

        Raises:
            NoSensitivity: Its layers cannot be quantized one by one.
        """
        (deployable,) = self.graph.deployables
        return self._label(sensitivity(self._model(deployable.model), self.graph, deployable))

    def _label(self, output: DraftOutput) -> OutputRef:
        """Adds what an output needs, for the one deployable that was added."""
        (deployable,) = self.graph.deployables
        self._builder.add([output])
        found = placed(output)
        for name in self.graph.below(found):
            labels = self.graph.actions[name].labels
            if deployable.label not in labels:
                labels.append(deployable.label)
        return found

    def _model(self, name: str) -> PlannedModel:
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = planned_model(self._recipe, self._machine, name)
        return found

    def _given_options(self, entry: Entry) -> Mapping[str, Any]:
        """All options of an entry's format; one line of the recipe is for many models."""
        found = self._options.get(entry.place)
        if found is None:
            declared = self._machine.catalog.formats[entry.item.format]
            found = declared.options.model_validate(entry.item.options).model_dump(mode="json")
            self._options[entry.place] = found
        return found
