"""Reads frozen dataclasses from JSON, and writes them to it.

A field is a key of the same name, and its default stands for a key that is missing: steps of other packages
may write less than this project's. What looks otherwise in JSON says so in its annotation (`Key`, `Beside`,
`Form`). `json_schema.py` describes the same classes.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

T = TypeVar("T")
Decoder = Callable[[Any], Any]
RECORD = "record"
"""The attribute that holds the whole record as it was read, in classes that have one."""


@dataclass(frozen=True)
class Key:
    """The key of a field that has another name in Python."""

    name: str


@dataclass(frozen=True)
class Beside:
    """A field whose own keys stand beside the others.

    Attributes:
        names: Those of a mapping; of a class they are its fields.
    """

    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The type that describes a record which only passes through."""

    kind: Any


def optional(default: Any = None) -> Any:
    """A field whose key is left out while it has its default."""
    return field(default=default, metadata={"optional": True})


@dataclass(frozen=True)
class Member:
    """How a field looks in JSON.

    Attributes:
        name: Its name in Python.
        key: Its key; `None` where its own keys stand beside the others.
        beside: The keys of such a mapping.
        hint: The type that JSON has.
        optional: Whether its key may be missing in what this project writes.
        default: Its value then.
    """

    name: str
    key: str | None
    beside: tuple[str, ...]
    hint: Any
    optional: bool
    default: Any


@cache
def members(kind: Any) -> tuple[Member, ...]:
    """The fields of a dataclass that JSON has."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for each in fields(kind):
        if each.name == RECORD:
            continue
        hint, key, beside = hints[each.name], each.name, None
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
            for mark in marks:
                key = mark.name if isinstance(mark, Key) else key
                beside = mark.names if isinstance(mark, Beside) else beside
                hint = mark.kind if isinstance(mark, Form) else hint
        left_out = bool(each.metadata.get("optional"))
        default = each.default if left_out else MISSING
        shown = key if beside is None else None
        found.append(Member(each.name, shown, beside or (), hint, left_out, default))
    return tuple(found)


def to_json(value: Any) -> Any:
    """A value as plain data."""
    own = getattr(value, "to_json", None)
    if own is not None:
        return own()
    if is_dataclass(value):
        record: dict[str, Any] = {}
        kind: Any = type(value)
        for each in members(kind):
            item = getattr(value, each.name)
            if each.optional and item == each.default:
                continue
            if each.key is None:
                record |= to_json(item)
            else:
                record[each.key] = to_json(item)
        return record
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def read(kind: Callable[..., T], record: Mapping[str, Any]) -> T:
    """Reads a dataclass from a record; keys that it does not name are ignored.

    Raises:
        TypeError: A key is missing that has no default.
    """
    given: dict[str, Any] = {}
    for name, key, decoder in _decoders(kind):
        if key is None:
            given[name] = decoder(record) if decoder is not None else record
        elif key in record:
            value = record[key]
            given[name] = value if decoder is None or value is None else decoder(value)
    return kind(**given)


@cache
def _decoders(kind: Any) -> list[tuple[str, str | None, Decoder | None]]:
    """Of each field: its name, its key (`None`: the whole record), and what converts its value."""
    found: list[tuple[str, str | None, Decoder | None]] = [
        (each.name, each.key, _only(each.beside) if each.key is None else _decoder(each.hint))
        for each in members(kind)
    ]
    if any(each.name == RECORD for each in fields(kind)):
        found.append((RECORD, None, None))
    return found


def _only(names: tuple[str, ...]) -> Decoder:
    return lambda record: {name: record[name] for name in names if name in record}


def _decoder(hint: Any) -> Decoder | None:
    """What converts a value to a type; `None` where it stays as JSON has it."""
    if is_dataclass(hint):
        return lambda record: read(hint, record)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        some = [each for each in arguments if each is not types.NoneType]
        return _decoder(some[0]) if len(some) == 1 else None
    if origin not in (tuple, Mapping):
        return None
    item = _decoder(arguments[0 if origin is tuple else 1])
    if origin is tuple:
        return (lambda values: tuple(map(item, values))) if item is not None else tuple
    if item is None:
        return None
    return lambda record: {
        key: value if value is None else item(value) for key, value in record.items()
    }
