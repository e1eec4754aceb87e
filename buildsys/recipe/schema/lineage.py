"""Models that are made of other models of the recipe: what they inherit, and their transforms in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from buildsys.recipe.schema.model import Model
from buildsys.recipe.schema.part import fault
from buildsys.recipe.schema.transforms import Train, Transform

INHERITED = ("inputs", "outputs", "samples", "environment", "evaluate", "capture")


@dataclass(frozen=True)
class Step:
    """A transform, where it is written.

    Attributes:
        owner: The model that has it.
        index: Its place in that model's list.
        transform: The transform.
    """

    owner: str
    index: int
    transform: Transform

    @property
    def place(self) -> tuple[str | int, ...]:
        """Where it stands in the recipe."""
        return ("models", self.owner, "transforms", self.index, self.transform.kind)


def inherited(models: Mapping[str, Model]) -> dict[str, Model]:
    """The models, each with what it takes from the one that it is made of.

    A name that is not there is left for whoever checks names.

    Raises:
        PydanticCustomError: Models are made of each other in a circle.
    """
    done: dict[str, Model] = {}

    def resolve(name: str, below: tuple[str, ...]) -> Model:
        if name in below:
            circle = " → ".join(f"`{each}`" for each in (*below[below.index(name) :], name))
            hint = "one of them needs a source of its own"
            place = ("models", below[-1], "source", "model")
            raise fault(f"models are made of each other: {circle}", hint, *place)
        if name not in done:
            model = models[name]
            base = model.source.model
            if base is not None and base in models:
                model = _merged(name, model, resolve(base, (*below, name)))
            done[name] = model
        return done[name]

    return {name: resolve(name, ()) for name in models}


def _merged(name: str, model: Model, base: Model) -> Model:
    given = {f for f in INHERITED if f in model.model_fields_set and getattr(model, f) != {}}
    taken = {f: getattr(base, f) for f in INHERITED if f not in given}
    source = base.source.model_copy(update={"model": model.source.model})
    merged = model.model_copy(update={**taken, "source": source})
    problem = merged.unranged()
    if problem is not None:
        raise fault(problem, "add `range: [least, greatest]`", "models", name, "samples")
    return merged


def steps(models: Mapping[str, Model], name: str) -> list[Step]:
    """All transforms of a model: first those of the one that it is made of."""
    model = models[name]
    base = model.source.model
    own = [Step(name, index, each) for index, each in enumerate(model.transforms)]
    return [*(steps(models, base) if base is not None else []), *own]


def training(transform: Transform) -> Train | None:
    """What trains it."""
    return transform.settings.train
