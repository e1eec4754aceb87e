"""Describes dataclasses as JSON Schema (draft 2020-12), with the sentences of their docstrings."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from buildsys.figures.json_form import Member, members

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", types.NoneType: "null"}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def document(title: str, *kinds: type[Any]) -> dict[str, Any]:
    """The schema of a document that is one of some classes.

    Args:
        title: What the document is.
        kinds: The classes.
    """
    made = _Definitions()
    references = [made.reference(kind) for kind in kinds]
    top = references[0] if len(references) == 1 else {"anyOf": references}
    return {"$schema": DIALECT, "title": title, **top, "$defs": dict(sorted(made.found.items()))}


class _Definitions:
    """The classes that a schema names, each described once."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._kinds: dict[str, type[Any]] = {}

    def reference(self, kind: Any) -> dict[str, Any]:
        """The name of a class's description."""
        event = getattr(
            kind, "name", None
        )  # Of a line of `build --json`; others have no such attribute.
        name = f"{kind.__name__}Event" if isinstance(event, str) else kind.__name__
        if self._kinds.setdefault(name, kind) is not kind:
            raise ValueError(f"two classes are named {name}")
        if name not in self.found:
            self.found[name] = {}  # It may name itself.
            self.found[name] = self._object(kind, event if isinstance(event, str) else None)
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, kind: Any, event: str | None) -> dict[str, Any]:
        properties, required = self._properties(kind)
        if event is not None:
            properties = {"event": {"const": event}, **properties}
            required = ["event", *required]
        summary = (kind.__doc__ or "").partition("\n\n")[0]
        return {
            "description": " ".join(summary.split()),
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _properties(self, kind: Any) -> tuple[dict[str, Any], list[str]]:
        told = _described(kind)
        properties: dict[str, Any] = {}
        required: list[str] = []
        for each in members(kind):
            if each.key is None:
                more, needed = self._beside(each)
                properties |= more
                required += [] if each.optional else needed
                continue
            says = {"description": told[each.name]} if each.name in told else {}
            properties[each.key] = {**says, **self._type(each.hint)}
            if not each.optional:
                required.append(each.key)
        for name, hint in getattr(kind, "COMPUTED", {}).items():
            properties[name] = self._type(hint)
        return properties, required

    def _beside(self, member: Member) -> tuple[dict[str, Any], list[str]]:
        """The properties of what stands beside the others: a class's, or a mapping's by name."""
        if member.beside:
            value = self._type(get_args(member.hint)[1])
            return dict.fromkeys(member.beside, value), list(member.beside)
        (kind,) = [each for each in get_args(member.hint) or (member.hint,) if is_dataclass(each)]
        return self._properties(kind)

    def _type(self, hint: Any) -> dict[str, Any]:
        if hint is Any or hint is object:
            return {}
        if hint in PLAIN:
            return {"type": PLAIN[hint]}
        if is_dataclass(hint):
            return self.reference(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return {"enum": [each.value for each in hint]}
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Literal:
            return {"enum": list(arguments)} if len(arguments) > 1 else {"const": arguments[0]}
        if origin in (types.UnionType, typing.Union):
            return _either([self._type(each) for each in arguments])
        if origin in (tuple, list, Sequence):
            return {"type": "array", "items": self._type(arguments[0])}
        if origin in (Mapping, dict):
            values = self._type(arguments[1])
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        raise TypeError(f"no schema for {hint!r}")


def _either(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Any of some schemas; plain types side by side."""
    if all(each.keys() == {"type"} for each in found):
        return {"type": [each["type"] for each in found]}
    return {"anyOf": found}


def _described(kind: type[Any]) -> dict[str, str]:
    """The sentences of a class's attributes, and of those it inherits."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        for name, text in _ATTRIBUTE.findall(inspect.cleandoc(each.__doc__ or "")):
            found[name] = " ".join(text.split())
    return found
