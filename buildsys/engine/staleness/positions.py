"""Where the recipe says what an action's key is made of: the place to look at when a part of it changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from buildsys.planner.graph import Action, ActionGraph, FileInput

if TYPE_CHECKING:
    from buildsys.recipe import Outline, Position, Recipe

Keys = tuple[str | int, ...]


class Positions:
    """The way from fields of a manifest to places in the recipe.

    Attributes:
        folder: The recipe's folder.

    Args:
        outline: The recipe's outline.
        recipe: Gives the recipe, once a place is asked for.
        graph: The actions.
    """

    def __init__(self, outline: Outline, recipe: Callable[[], Recipe], graph: ActionGraph) -> None:
        self.folder = outline.folder
        self._locks = outline.locks
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
        return self._recipe().where(*keys) if keys else None

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
        if name in self._locks:
            return ("toolchains", name, "lock")
        if name == "host" or name.startswith("requirements:"):
            model = self._model(action)
            return (*model, "environment") if model[:1] == ("models",) else ()
        return ()


def failure_position(recipe: Recipe, action: Action, field: str | None) -> Position | None:
    """The place in the recipe to point at for a failed step.

    Args:
        recipe: The recipe.
        action: The step.
        field: What the worker names, relative to the model, the dataset or the target's entry.
    """
    if not action.origin:
        return None
    if field is None:
        return recipe.where(*action.origin)
    keys = field.split(".")
    if keys[0] == "count" and action.asked:
        return recipe.where(*action.asked, *keys)
    section = action.origin[0]
    if section == "targets" and keys[0] == "quantization":
        target, index = str(action.origin[1]), int(action.origin[2])
        entry = next(v for k, v in recipe.spec.targets.items() if k == target)[index]
        return recipe.where("quantization", entry.quantization or "", *keys[1:])
    from buildsys.recipe.schema.model import Model  # Its classes are made for a failure only.

    # A transform's own fields lie below it; what it says of the model, beside it.
    transform = action.origin[2:3] == ("transforms",) and keys[0] not in Model.model_fields
    base = action.origin if section == "targets" or transform else action.origin[:2]
    return recipe.where(*base, *keys)
