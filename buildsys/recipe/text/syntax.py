"""YAML's own errors, in words, at their place."""

from __future__ import annotations

import re

import yaml

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.text.position import Position, Source

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(source_bytes: bytes) -> str | int:
    """The text of a file, or the offset of the first byte that is not UTF-8."""
    try:
        return source_bytes.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start


def encoding_diagnostic(source: Source, content: bytes, offset: int) -> Diagnostic:
    """The finding for a file that is not UTF-8."""
    before = content[:offset].decode("utf-8-sig", errors="replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Diagnostic(
        "the file is not UTF-8 text",
        Position(source.file, line, column),
        "save it as UTF-8",
    )


def syntax_diagnostic(source: Source, error: yaml.YAMLError) -> Diagnostic:
    """The finding for text that is no YAML."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return _marked(source, error)
    # libyaml counts bytes here, so the character is looked for.
    found = _NOT_YAML.search(source.text)
    if found is None:
        return Diagnostic(f"not YAML: {error}", source.position(0))
    return Diagnostic(
        f"not YAML: the character U+{ord(found.group()):04X} is not allowed",
        source.position(found.start()),
        "delete it",
    )


def _marked(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark, context = error.problem_mark, error.context_mark
    assert mark is not None
    index = min(mark.index, len(source.text))
    place = source.position(index)
    char = source.text[index : index + 1]
    if char == "\t":
        return Diagnostic(
            "not YAML: a tab stands where only spaces may", place, "indent with spaces"
        )
    also: tuple[Position, ...] = ()
    if context is not None and context.index != index and context.index < len(source.text):
        also = (source.position(context.index).noted(error.context or "begun here"),)
    return Diagnostic(
        f"not YAML: {error.problem or 'syntax error'}", place, _hint(source, index, error), also
    )


def _hint(source: Source, index: int, error: yaml.MarkedYAMLError) -> str | None:
    char = source.text[index : index + 1]
    if source.text[max(0, index - 1) : index + 1] == "${":
        return (
            "inside `{...}` and `[...]`, `${VAR}` must be quoted; for a number, "
            "write the mapping over several lines"
        )
    if char and char in "@`%":
        return f"quote a text that begins with `{char}`"
    if (error.problem or "").startswith("mapping values are not allowed"):
        return "quote a text that holds `: `, or check the indentation"
    if error.context == "while scanning a quoted scalar":
        return "close the quote"
    return None
