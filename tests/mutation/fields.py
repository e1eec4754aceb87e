"""What the schema declares, read from the models themselves: a new field is on the list at once."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from buildsys.recipe.schema.spec import Spec
from tests.mutation.bench import catalog

NAME, ITEM = "{name}", "[]"
"""Stand for the names of a mapping that the user chooses, and for the items of a list of parts."""


def declared() -> list[str]:
    """Every leaf of a recipe: `models.{name}.source.factory`; a chosen name is a leaf too."""
    return of_model(Spec)


def of_model(model: type[BaseModel]) -> list[str]:
    """Every leaf of a model."""
    return list(dict.fromkeys(_of_model(model, ())))


def options() -> list[str]:
    """Every option of every format: `coreml.flexible`."""
    return [
        f"{name}.{option}"
        for name, declared in catalog().formats.items()
        for option in declared.options.model_fields
    ]


def values(field: str) -> tuple[Any, ...]:
    """What a field may be whose values are listed; nothing for others."""
    annotation: Any = Spec
    for part in field.split("."):
        annotation = _below(annotation, part)
    return _listed(annotation)


def _of_model(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield from _of_type(field.annotation, (*path, name))


def _of_type(annotation: Any, path: tuple[str, ...]) -> Iterator[str]:
    annotation = _bare(annotation)
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _of_model(annotation, path)
    elif get_origin(annotation) in (Union, types.UnionType):
        for each in arguments:
            if each is not type(None):
                yield from _of_type(each, path)
    elif get_origin(annotation) is dict and _has_parts(arguments[1]):
        yield ".".join((*path, NAME))
        yield from _of_type(arguments[1], (*path, NAME))
    elif get_origin(annotation) is tuple and _has_parts(arguments[0]):
        yield from _of_type(arguments[0], (*path, ITEM))
    else:
        yield ".".join(path)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _has_parts(annotation: Any) -> bool:
    """Whether there is a model somewhere in a type."""
    annotation = _bare(annotation)
    if isinstance(annotation, type) and not get_origin(annotation):
        return issubclass(annotation, BaseModel)
    return any(_has_parts(each) for each in get_args(annotation))


def _below(annotation: Any, part: str) -> Any:
    """The type of a field, an item or a value of a type."""
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields[part].annotation if part in annotation.model_fields else None
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        found = (_below(each, part) for each in arguments if _has_parts(each))
        return next((each for each in found if each is not None), None)
    return arguments[-1] if part == NAME else arguments[0]


def _listed(annotation: Any) -> tuple[Any, ...]:
    annotation = _bare(annotation)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(value for each in get_args(annotation) for value in _listed(each))
    return ()
