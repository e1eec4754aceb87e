"""What is wrong with a recipe, where, and what would fix it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from buildsys.recipe.text.position import Position, shown_path

Severity = Literal["error", "warning"]

_WIDEST = 160
"""Source lines longer than this are shown in part."""


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    Attributes:
        message: What is wrong, in one line, names in backticks.
        position: Where; `None` when there is no file to point into.
        hint: What would fix it.
        also: Other places that matter: the first of two definitions, an alias, an include.
        severity: `error` or `warning`.
    """

    message: str
    position: Position | None = None
    hint: str | None = None
    also: tuple[Position, ...] = ()
    severity: Severity = "error"

    def render(self, folder: Path | None = None) -> str:
        """The finding as plain text, without colour or a final line break.

        Args:
            folder: Paths are shown relative to it; default: the current folder.
        """
        lines = [f"{self.severity}: {self.message}"]
        if self.position is not None:
            places = [self.position, *self.also]
            width = max(len(str(place.line)) for place in places)
            for number, place in enumerate(places):
                lines += _snippet(place, width, folder, first=number == 0)
        if self.hint is not None:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def to_json(self, folder: Path | None = None) -> dict[str, Any]:
        """The finding as plain data; `position` is `null` when there is none."""
        return {
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            "position": None if self.position is None else _json(self.position, folder),
            "also": [_json(place, folder) for place in self.also],
        }


class RecipeError(Exception):
    """A recipe cannot be used. Carries every finding, not the first.

    Attributes:
        diagnostics: The findings, in the order of the files and lines.
    """

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return self.render()

    def render(self, folder: Path | None = None) -> str:
        """All findings as text, a blank line between them."""
        return "\n\n".join(diagnostic.render(folder) for diagnostic in self.diagnostics)


def _json(place: Position, folder: Path | None) -> dict[str, Any]:
    return {
        "file": shown_path(place.file, folder),
        "line": place.line,
        "column": place.column,
        "length": place.length,
        "note": place.note or None,
    }


def _snippet(place: Position, width: int, folder: Path | None, *, first: bool) -> Iterator[str]:
    pad = " " * width
    yield f"{pad}{'-->' if first else ':::'} {place.shown(folder)}"
    if not place.text.strip():
        if place.note:
            yield f"{pad} = {place.note}"
        return
    before, marked, after = _window(place)
    line = f"{place.line:>{width}} | {before}{marked}{after}".rstrip()
    marks = ("^" if first else "-") * max(1, _columns(marked))
    note = f" {place.note}" if place.note else ""
    yield f"{pad} |"
    yield line
    yield f"{pad} | {' ' * _columns(before)}{marks}{note}"


def _window(place: Position) -> tuple[str, str, str]:
    """The line in three parts: before, inside and after the underlined span."""
    start = place.column - 1
    stop = start + place.length
    before, marked, after = place.text[:start], place.text[start:stop], place.text[stop:]
    if len(place.text) > _WIDEST:
        half = _WIDEST // 2
        before = "..." + before[-half:] if len(before) > half else before
        marked = marked[:half]
        after = after[:half] + "..." if len(after) > half else after
    return _printable(before), _printable(marked), _printable(after)


def _printable(text: str) -> str:
    # A recipe may hold escape sequences; a terminal must not obey them.
    text = text.replace("\t", "    ")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _columns(text: str) -> int:
    """How many terminal columns a text takes."""
    return sum(_column_width(char) for char in text)


def _column_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
