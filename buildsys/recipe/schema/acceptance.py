"""`acceptance:` of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from pydantic import ConfigDict, Field, create_model, model_validator

from buildsys.bounds import BY_NAME, REGRESSION_BOUNDS, TABLE, Bound
from buildsys.recipe.schema.part import Name, Part, PortName, fault


def _field(bound: Bound) -> tuple[Any, Any]:
    """A bound as a field of a part: its type and what is known of it."""
    if bound.word:
        description = f"`{bound.word}`: {bound.description}"
        return Literal[bound.word] | None, Field(default=None, description=description)
    description = f"{bound.direction.capitalize()}: {bound.description}"
    limits = {"ge": bound.least, "gt": bound.above, "le": bound.most}
    given: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    return float | None, Field(default=None, description=description, **given)


def _fields(*scopes: str) -> dict[str, Any]:
    return {bound.name: _field(bound) for bound in TABLE if bound.scope in scopes}


# To a type checker a part with no fields: they are made of the table, and read by name.
OfOutputs: TypeAlias = Part
if not TYPE_CHECKING:
    OfOutputs = create_model("OfOutputs", __base__=Part, **_fields("output"))


class OutputBounds(OfOutputs):
    """Bounds on each output, or on one."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    def limit(self, bound: str) -> Any:
        """What is said of a bound, by its name; `None` where nothing is."""
        return getattr(self, bound)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(value is None or value == {} for value in dict(self).values()):
            raise fault("no bound is given", "add one, for example `signal_error: 1e-3`")
        return self


OfArtifacts: TypeAlias = OutputBounds
if not TYPE_CHECKING:
    OfArtifacts = create_model(
        "OfArtifacts", __base__=OutputBounds, **_fields("artifact", "earlier")
    )


class TargetBounds(OfArtifacts):
    """Bounds on artifacts: on each output, on outputs by name, and on the artifact as a whole."""

    outputs: dict[PortName, OutputBounds] = Field(
        default={},
        description="Bounds on outputs by name; each goes before the general one of its kind.",
        examples=[{"boxes": {"max_abs": 0.5}}],
    )


class Acceptance(TargetBounds):
    """Tolerances: bounds on a measurement, all of which must hold."""

    targets: dict[Name, TargetBounds] = Field(
        default={},
        description="Bounds for targets by name; each goes before the one of its kind above, and "
        "what it says of an output before all.",
        examples=[{"ios": {"signal_error": 2e-2}}],
    )

    def bounds(self, target: str) -> dict[str, float]:
        """The bounds that hold for a target, of each output and of the artifact."""
        return self._limits(target, {"outputs", "targets", *REGRESSION_BOUNDS})

    def regression_bounds(self, target: str) -> dict[str, float]:
        """The bounds that hold for a target against an earlier build."""
        found = self._limits(target, {"outputs", "targets"})
        return {name: found[name] for name in REGRESSION_BOUNDS if name in found}

    def _limits(self, target: str, exclude: set[str]) -> dict[str, float]:
        own = self.model_dump(exclude_none=True, exclude=exclude)
        there = self.targets.get(target)
        found = own | (there.model_dump(exclude_none=True, exclude=exclude) if there else {})
        # The part of all numbers that it asks for.
        return {
            name: 1.0 if value == BY_NAME[name].word else value for name, value in found.items()
        }

    def output_bounds(self, target: str) -> dict[str, dict[str, float]]:
        """The bounds that hold for a target on outputs by name."""
        found = {name: each.model_dump(exclude_none=True) for name, each in self.outputs.items()}
        there = self.targets.get(target)
        for name, each in (there.outputs if there else {}).items():
            found[name] = found.get(name, {}) | each.model_dump(exclude_none=True)
        return found
