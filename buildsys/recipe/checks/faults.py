"""What the schema refuses, as diagnostics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.hints import did_you_mean, nearest
from buildsys.recipe.schema.json_schema import properties
from buildsys.recipe.schema.part import (
    ENTRY_POINT,
    NAME,
    PATH,
    PORT,
    PROJECT,
    RELEASE,
    SYMBOL,
    TEXT_LINE,
)
from buildsys.recipe.text.document import Key, Node, Path_, follow
from buildsys.recipe.text.position import Position

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "`true` or `false`",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
}
_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_PATTERNS = {
    NAME: ("is not a name", "letters, digits, `-` and `_`, a letter or digit first"),
    PROJECT: ("is not a project name", "small letters, digits, `-` and `_`, not `-` or `_` first"),
    RELEASE: (
        "is not a release",
        "letters, digits, `.`, `-`, `_` and `+`, a letter or digit first",
    ),
    PORT: ("is not a name of an input or output", "it must not be empty or hold spaces"),
    SYMBOL: ("is not a symbol", "letters, digits and `_`, not a digit first"),
    ENTRY_POINT: ("is not `module:callable`", "for example `model:build`"),
    PATH: ("is not a path", "it must not be empty"),
    TEXT_LINE: ("is not a name of a class", "it is one line, and not empty"),
}
_TRUTH = {"on": "true", "yes": "true", "off": "false", "no": "false"}


def diagnostics(error: ValidationError, root: Node) -> list[Diagnostic]:
    """What is wrong with a recipe's schema, each at its place in the document."""
    found = []
    for details in error.errors(include_url=False):
        context: Mapping[str, Any] = details.get("ctx", {})
        # Parts in angle brackets name a member of a union, not a key.
        loc = tuple(part for part in details["loc"] if not str(part).startswith("<"))
        found.append(_Fault(details["type"], loc, details["msg"], details["input"], context, root))
    return [fault.diagnostic() for fault in found if not fault.reported]


class _Fault:
    """One error of pydantic's."""

    def __init__(
        self,
        kind: str,
        loc: Path_,
        message: str,
        value: Any,
        context: Mapping[str, Any],
        root: Node,
    ) -> None:
        self._kind = kind
        is_key = bool(loc) and loc[-1] == "[key]"
        self._on_key = is_key or kind == "extra_forbidden" or context.get("on_key", False)
        self._path: Path_ = loc[:-1] if is_key else loc
        self._path += tuple(context.get("at", ()))
        self._message = message
        self._value = value
        self._context = context
        if kind == "finite_number":
            self._path = _without_types(self._path, root)
        self._found = follow(root, self._path)

    @property
    def reported(self) -> bool:
        """Whether another finding says already why there is no value."""
        return self._found.node.broken

    def diagnostic(self) -> Diagnostic:
        """The error in our own words."""
        message, hint = self._words()
        return Diagnostic(message, self._position(), hint, self._found.via)

    def _position(self) -> Position:
        found = self._found
        whole = self._kind == "recipe" and isinstance(found.node.data, dict)
        if self._on_key or whole or found.depth < len(self._path):
            return found.key_position()
        return found.value_position()

    def _words(self) -> tuple[str, str | None]:
        if self._kind == "recipe":
            return self._message, self._context["hint"]
        if self._kind == "extra_forbidden":
            return self._unknown_key()
        if self._kind == "missing":
            return self._missing()
        if self._kind == "literal_error":
            return self._literal()
        if self._kind == "string_pattern_mismatch":
            what, hint = _PATTERNS.get(self._context["pattern"], ("does not fit", ""))
            if self._context["pattern"] == ENTRY_POINT and "." in self._value:
                hint = "for example `{}:{}`".format(*self._value.rsplit(".", 1))
            default = f"it must match `{self._context['pattern']}`"
            return f"{shown(self._value)} {what}", hint or default
        if self._kind in ("too_short", "too_long"):
            return self._count()
        if self._kind in _LIMITS:
            key, words = _LIMITS[self._kind]
            limit = f"{self._context[key]:g}"
            return f"{self._name()} must be {words} {limit}, not {shown(self._value)}", None
        return self._wrong_kind()

    def _unknown_key(self) -> tuple[str, str]:
        key = str(self._path[-1])
        known = properties(self._path[:-1])
        return f"unknown key `{key}`", did_you_mean(key, known, "delete it", "allowed here:")

    def _missing(self) -> tuple[str, str | None]:
        key = self._path[-1]
        if isinstance(key, int):
            return f"{name_of(self._path[:-1])} has no item {key + 1}", None
        owner = name_of(self._path[:-1]) if len(self._path) > 1 else "the recipe"
        return f"{owner} has no `{key}`", "add `version: 1`" if self._path == ("version",) else None

    def _literal(self) -> tuple[str, str]:
        if self._path == ("version",):
            return f"version {shown(self._value)} of the recipe is not known", "write `version: 1`"
        allowed = re.findall(r"'([^']*)'", self._context["expected"])
        choices = ", ".join(f"`{each}`" for each in allowed)
        best = nearest(str(self._value), allowed)
        guess = f"did you mean `{best}`? " if best is not None else ""
        hint = f"{guess}allowed: {choices}"
        if self._on_key:
            return f"unknown target `{self._path[-1]}`", hint
        return f"{self._name()} cannot be {shown(self._value)}", hint

    def _count(self) -> tuple[str, str | None]:
        least, most = self._context.get("min_length"), self._context.get("max_length")
        if least == 1:
            return f"{self._name()} must not be empty", None
        return f"{self._name()} must have {most} items, not {len(self._value)}", None

    def _wrong_kind(self) -> tuple[str, str | None]:
        wanted = _KINDS.get(self._kind)
        if self._kind == "recipe_choice":
            wanted = self._message
        if wanted is None:
            return f"{self._name()}: {self._message}", None
        text = "the text " if isinstance(self._value, str) else ""
        message = f"{self._name()} must be {wanted}, not {text}{shown(self._value)}"
        return message, self._kind_hint()

    def _kind_hint(self) -> str | None:
        value = self._value
        if self._kind == "string_type" and isinstance(value, int | float):
            node = self._found.node
            return f'write it in quotes: `"{node.source.text[node.start : node.end]}"`'
        if self._kind in ("int_type", "float_type") and isinstance(value, str):
            return "write it without quotes" if _is_number(value) else None
        if self._kind == "int_type" and isinstance(value, float) and value.is_integer():
            return f"write `{int(value)}`"
        if self._kind == "bool_type" and str(value).lower() in _TRUTH:
            return f"write `{_TRUTH[str(value).lower()]}`"
        if self._kind in ("dict_type", "model_type") and value is None:
            return "write `{}` for an empty one"
        return None

    def _name(self) -> str:
        return name_of(self._path)


def _without_types(path: Path_, root: Node) -> Path_:
    """A path into plain data without the names of types that pydantic puts between the keys."""
    node, real = root, []
    for key in path:
        if key in node.children:
            node = node.children[key].node
            real.append(key)
    return tuple(real)


def name_of(path: Path_) -> str:
    """A path as people write it: `models.classifier.inputs.image.shape[1]`, in backticks."""
    text = ""
    for key in path:
        text += _joined(text, key)
    return f"`{text}`" if text else "the recipe"


def _joined(text: str, key: Key) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if text else key


def shown(value: object) -> str:
    """A value in a message."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"the number {value}"
    text = str(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
