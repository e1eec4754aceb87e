"""What all parts of a recipe's schema share: strictness, names, and errors with hints."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
PROJECT = r"^[a-z0-9][a-z0-9_-]*$"
RELEASE = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
PORT = r"^[^\s]+$"
SYMBOL = r"^[A-Za-z_][A-Za-z0-9_]*$"
ENTRY_POINT = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
PATH = r"\S"
TEXT_LINE = r"^[^\r\n]*\S[^\r\n]*$"

Name = Annotated[str, Field(pattern=NAME)]
"""A name that labels are made of."""

PortName = Annotated[str, Field(pattern=PORT)]
"""A name of a model's input or output."""

Symbol = Annotated[str, Field(pattern=SYMBOL)]
"""A name of a size that is not fixed."""

EntryPoint = Annotated[str, Field(pattern=ENTRY_POINT)]
"""`module:callable`, both dotted names."""

FilePath = Annotated[str, Field(pattern=PATH)]
"""A path relative to the recipe's folder, also where it is written in an included file."""

FileGlobs = Annotated[tuple[Annotated[str, Field(pattern=PATH)], ...], Field(strict=False)]
"""Globs over files, relative to the recipe's folder; `**` goes through folders."""


class Part(BaseModel):
    """Base of all parts: unknown keys are errors, values are not coerced, nothing changes later."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        field_title_generator=lambda name, _: name,
    )


def fault(message: str, hint: str | None = None, *at: str | int) -> PydanticCustomError:
    """An error for a validator to raise.

    Args:
        message: What is wrong.
        hint: What would fix it.
        at: Keys from the value that is being validated down to the one to point at.
    """
    return _error(message, hint, at, on_key=False)


def misplaced(message: str, hint: str | None, *at: str | int) -> PydanticCustomError:
    """Like `fault`, for a key that should not be there: it points at the key, not at its value."""
    return _error(message, hint, at, on_key=True)


def _error(
    message: str, hint: str | None, at: tuple[str | int, ...], *, on_key: bool
) -> PydanticCustomError:
    # The template is a lone field: messages may hold braces themselves.
    context: dict[str, Any] = {"message": message, "hint": hint, "at": at, "on_key": on_key}
    return PydanticCustomError("recipe", "{message}", context)


def exactly_one(part: Part, *names: str) -> str:
    """The one of the named fields that is given.

    Raises:
        PydanticCustomError: None or several are given.
    """
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) == 1:
        return given[0]
    choice = ", ".join(f"`{name}`" for name in names[:-1]) + f" or `{names[-1]}`"
    if not given:
        raise fault(f"one of {choice} must be given")
    raise misplaced(
        f"`{given[0]}` and `{given[1]}` exclude each other", f"keep one of {choice}", given[1]
    )


def one_of_required(*names: str) -> dict[str, Any]:
    """The JSON Schema for `exactly_one`."""
    return {"oneOf": [{"required": [name]} for name in names]}


def _not_empty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    # Not `min_length`: with it, pydantic reports a list of wrong items as empty.
    if not items:
        raise PydanticCustomError("too_short", "must not be empty", {"min_length": 1})
    return items


NOT_EMPTY = AfterValidator(_not_empty)
"""Marks a list that holds something; `SOME` beside it tells the JSON Schema."""

SOME = Field(strict=False, json_schema_extra={"minItems": 1})
"""A YAML list, which becomes a tuple."""


def _number(value: object) -> int | float:
    # Not `int | float`: a union names its members in the place of an error.
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value - value == 0:
            return value
        raise PydanticCustomError("finite_number", "must be finite")
    raise PydanticCustomError("float_type", "must be a number")


Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
"""A finite number that stays whole when it is written so."""
