"""What a plain YAML scalar means.

The rules are those of YAML 1.2's core schema, not PyYAML's YAML 1.1: `on`, `off`, `yes` and `no`
are text, `1e-4` is a number, `010` is ten, and dates are text.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NUMBER_START = frozenset("+-.0123456789")
_LONGEST_NUMBER = 400

_TAG = "tag:yaml.org,2002:"
KNOWN_TAGS = ("!!str", "!!int", "!!float", "!!bool", "!!null")


class TagMismatchError(Exception):
    """A tag that is not known, or whose value does not fit."""


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    # Python refuses to read very long integers, and takes quadratic time for long ones.
    if text[0] not in _NUMBER_START or len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def resolve_tagged(text: str, tag: str) -> Scalar:
    """The value of a scalar with an explicit tag, for example `!!str 1`.

    Raises:
        TagMismatchError: The tag is not one of `KNOWN_TAGS`, or the text is no such value.
    """
    if tag in ("!", _TAG + "str"):
        return text
    short = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
    if short not in KNOWN_TAGS:
        raise TagMismatchError(f"the tag `{short}` is not allowed")
    value = resolve(text)
    if short == "!!float" and type(value) is int:
        return float(value)
    wanted = {"!!int": int, "!!float": float, "!!bool": bool, "!!null": type(None)}[short]
    if type(value) is not wanted:
        raise TagMismatchError(f"`{text}` is no `{short}`")
    return value
