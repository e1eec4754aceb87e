"""From a model to the artifact that an entry asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from buildsys.backends.base import Format
from buildsys.planner.conversion.describing import Described, describe
from buildsys.planner.conversion.routes import Step, cheapest, refined, refiners
from buildsys.planner.conversion.steps import Artifact, Goal, follow
from buildsys.planner.entries import Entry
from buildsys.planner.model import PlannedModel

UNQUANTIZED = "weights and arithmetic in the model's own precision"


class Unread(Exception):
    """The recipe asks for something that no step on the way reads."""

    def __init__(self, message: str, hint: str, keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.message, self.hint, self.keys = message, hint, keys


@dataclass(frozen=True)
class Conversion:
    """How a model becomes the artifact of an entry.

    Attributes:
        format: The artifact's format.
        options: The format's options, all of them.
        scheme: What it is quantized by, or `None`.
        steps: The route.
        converted: What the route ends in.
        described: The artifact as it ships.
        made: The artifact as it is run: with the contract of the route, since words for apps change no run.
    """

    format: Format
    options: Mapping[str, Any]
    scheme: str | None
    steps: tuple[Step, ...]
    converted: Artifact
    described: Described
    made: Artifact

    @property
    def precision(self) -> str:
        """What becomes of weights and activations, in words."""
        schemes = {scheme.name: scheme for scheme in self.format.schemes}
        return schemes[self.scheme].exact_types if self.scheme in schemes else UNQUANTIZED

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules on the way."""
        names = tuple(step.rule.name for step in self.steps)
        return names if self.described.rule is None else (*names, self.described.rule)


def convert(model: PlannedModel, entry: Entry, options: Mapping[str, Any]) -> Conversion:
    """Drafts what makes the artifact of an entry.

    Args:
        model: The entry's model.
        entry: The entry.
        options: The options of its format, all of them.

    Raises:
        NoRoute: Nothing leads to its format.
        Unread: It asks for something that no step on the way reads.
    """
    scheme, steps = _route(model, entry, options)
    _check_read(model, entry, steps)
    return _along(model, entry, options, scheme, steps)


def unquantized(model: PlannedModel, entry: Entry, options: Mapping[str, Any]) -> Conversion:
    """Drafts what makes the artifact of an entry without its profile."""
    plain = replace(entry, profile=None)
    return _along(model, plain, options, *_route(model, plain, options))


def _route(
    model: PlannedModel, entry: Entry, options: Mapping[str, Any]
) -> tuple[str | None, tuple[Step, ...]]:
    """The scheme of an entry, and its route."""
    catalog, wanted = model.machine.catalog, entry.item.format
    quantization = model.recipe.spec.quantization
    scheme = quantization[entry.profile].scheme if entry.profile else None
    route = cheapest(catalog, model.state, model.method, (wanted, scheme), entry.route)
    return scheme, refined(catalog, route, wanted, options)


def _along(
    model: PlannedModel,
    entry: Entry,
    options: Mapping[str, Any],
    scheme: str | None,
    steps: tuple[Step, ...],
) -> Conversion:
    wanted = entry.item.format
    goal = Goal(wanted, options, entry.label, entry.place, entry.profile)
    made = converted = follow(model, steps, goal)
    described = describe(model, wanted, made.artifact, made.io, entry.label)
    if described.artifact is not made.artifact:
        made = replace(converted, artifact=described.artifact)
    declared = model.machine.catalog.formats[wanted]
    return Conversion(declared, options, scheme, steps, converted, described, made)


def _check_read(model: PlannedModel, entry: Entry, steps: tuple[Step, ...]) -> None:
    """What is asked for and would be passed over silently is an error."""
    item = entry.item
    makers = [s.rule for s in steps if s.rule.gives == item.format and not s.rule.refines]
    read = {name for rule in makers for name in rule.options}
    # What refines an artifact reads its options even where they say that it is not asked for.
    read |= {n for _, r in refiners(model.machine.catalog, item.format) for n in r.options}
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
