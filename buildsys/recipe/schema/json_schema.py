"""The recipe's JSON Schema, draft-07, for editors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from buildsys.recipe.schema.spec import Spec
from buildsys.recipe.text.document import Path_

_INTERPOLATED = "Interpolated"
_OUTER = ("title", "description", "default", "examples")
"""What stays outside when a schema is wrapped: editors show it."""


def schema() -> dict[str, Any]:
    """The JSON Schema of `deploy.yaml`, draft-07.

    A text that holds `${VAR}` is accepted wherever one plain value is expected. References between
    sections, and whether files are there, are beyond it: `load` checks them.
    """
    raw = Spec.model_json_schema(ref_template="#/definitions/{model}")
    definitions = raw.pop("$defs")
    needed = raw.pop("required")
    result = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_converted(raw),
        "title": "deploy.yaml",
        # What an included file may give need not stand in the recipe.
        "anyOf": [{"required": needed}, {"required": ["include"]}],
        "patternProperties": {"^x-": {"description": "Free: a place for anchors."}},
        "definitions": {name: _converted(part) for name, part in sorted(definitions.items())},
    }
    result["definitions"][_INTERPOLATED] = {
        "description": "A value from the environment: `${VAR}` or `${VAR:-default}`.",
        "type": "string",
        "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
    }
    return result


def properties(path: Path_) -> list[str]:
    """The keys that the schema knows in the mapping at a path."""
    parts = list(_concrete(_cached_schema()))
    for key in path:
        children = [child for part in parts for child in _children(part, key)]
        parts = [each for child in children for each in _concrete(child)]
    names = [name for part in parts for name in part.get("properties", ())]
    return list(dict.fromkeys(names))


@cache
def _cached_schema() -> dict[str, Any]:
    return schema()


def _concrete(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and those that it refers to or chooses from."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        yield from _concrete(_cached_schema()["definitions"][name])
        return
    yield part
    for word in ("anyOf", "oneOf", "allOf"):
        for choice in part.get(word, ()):
            yield from _concrete(choice)


def _children(part: dict[str, Any], key: str | int) -> Iterator[dict[str, Any]]:
    """The schemas of a mapping's or a list's value."""
    if isinstance(key, int):
        items = part.get("items")
        if isinstance(items, dict):
            yield items
    elif key in part.get("properties", ()):
        yield part["properties"][key]
    else:
        yield from part.get("patternProperties", {}).values()
        if isinstance(part.get("additionalProperties"), dict):
            yield part["additionalProperties"]


def _converted(part: dict[str, Any]) -> dict[str, Any]:
    """Draft 2020-12, as pydantic writes it, to draft-07, with `${VAR}` let in."""
    result = {word: _converted_word(word, value) for word, value in part.items()}
    if "prefixItems" in result:
        result["items"] = result.pop("prefixItems")
    if "patternProperties" in result:
        result.setdefault("additionalProperties", False)
    if result.get("default", ...) is None:
        del result["default"]
    outer = {word: result.pop(word) for word in _OUTER if word in result}
    if "$ref" in result and outer:
        # Draft-07 ignores what stands beside a reference.
        result = {"allOf": [result]}
    if "anyOf" in result and all(
        "type" in each or set(each) == {"anyOf"} for each in result["anyOf"]
    ):
        result["anyOf"] = _flat(result["anyOf"])
    if _takes_interpolation(result):
        result = {"anyOf": [result, {"$ref": f"#/definitions/{_INTERPOLATED}"}]}
    return outer | result


def _converted_word(word: str, value: Any) -> Any:
    if word in ("properties", "patternProperties"):
        return {name: _converted(each) for name, each in value.items()}
    if word in ("items", "additionalProperties") and isinstance(value, dict):
        return _converted(value)
    if word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        return [_converted(each) for each in value]
    return value


def _flat(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choices within choices, side by side, each once."""
    flat: list[dict[str, Any]] = []
    for choice in choices:
        for each in choice["anyOf"] if set(choice) == {"anyOf"} else [choice]:
            if each not in flat:
                flat.append(each)
    return flat


def _takes_interpolation(part: dict[str, Any]) -> bool:
    if part.get("type") == "string":
        return "enum" in part or "pattern" in part or "const" in part
    return part.get("type") in ("integer", "number", "boolean")
