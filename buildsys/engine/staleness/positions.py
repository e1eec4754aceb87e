"""Where the recipe says what an action's key is made of: the place to look at when a part of it changed."""

from __future__ import annotations

from buildsys.planner.graph import Action, ActionGraph, FileInput
from buildsys.recipe import Position, Recipe

Keys = tuple[str | int, ...]


class Positions:
    """The way from fields of a manifest to places in the recipe."""

    def __init__(self, recipe: Recipe, graph: ActionGraph) -> None:
        self._recipe = recipe
        self._deployables = {deployable.label: deployable for deployable in graph.deployables}

    def of(self, action: Action, field: str) -> Position | None:
        """Where a field of an action's manifest is written; `None` for what is in no recipe."""
        head, _, rest = field.partition(".")
        if head == "inputs":
            given = action.inputs.get(rest)
            keys = given.field if isinstance(given, FileInput) else ()
        elif head == "options":
            keys = self._option(action, tuple(rest.split(".")))
        elif head == "toolchain":
            keys = self._toolchain(action)
        else:
            keys = ()
        return self._recipe.where(*keys) if keys else None

    def _option(self, action: Action, option: tuple[str, ...]) -> Keys:
        head, rest = option[0], option[1:]
        model = self._model(action)
        profile = self._profile(action)
        places: dict[str, Keys] = {
            "format": (*action.origin, "options", *rest),
            "source": (*model, "source", *rest),
            "method": (*model, "capture"),
            "ports": (*model, "inputs", *rest),
            "outputs": (*model, "outputs"),
            "preprocess": (*model, "inputs", *rest[:1], "preprocess", *rest[1:]),
            "labels": (*model, "outputs", *rest[:1], "labels"),
            "metric": (*model, "evaluate", "metric"),
            "benchmark": (*model, "benchmark", *rest),
            "resamples": (*model, "evaluate", "resamples"),
            "scheme": (*profile, "scheme"),
            "quantization": (*profile, *rest),
            "count": (*action.asked, "count"),
            "seed": (*action.asked, "seed"),
            "settings": (*action.origin, *rest),
            "teacher": (*action.origin, "teacher"),
            "metadata": ("release",) if rest == ("version",) else ("project",),
        }
        if action.origin[:1] == ("datasets",):
            dataset = action.origin[:2]
            places |= {
                "arrays": (*dataset, "inputs", *rest),
                "labels": (*dataset, "labels"),
                "limit": (*dataset, "limit"),
            }
        return places.get(head, action.origin)

    def _model(self, action: Action) -> Keys:
        if action.origin[:1] == ("models",):
            return action.origin[:2]
        for label in action.labels:
            if label in self._deployables:
                return ("models", self._deployables[label].model)
        return action.origin

    def _profile(self, action: Action) -> Keys:
        # A step with a scheme of its own is named by the label that it makes.
        for label in (action.id.partition("#")[0], *action.labels):
            deployable = self._deployables.get(label)
            if deployable is not None and deployable.quantized.profile is not None:
                return ("quantization", deployable.quantized.profile)
        return action.origin

    def _toolchain(self, action: Action) -> Keys:
        name = action.environment or ""
        if name in self._recipe.spec.toolchains:
            return ("toolchains", name, "lock")
        if name == "host" or name.startswith("requirements:"):
            model = self._model(action)
            return (*model, "environment") if model[:1] == ("models",) else ()
        return ()
