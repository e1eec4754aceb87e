"""Places in source files."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file, with what is needed to show it.

    Attributes:
        file: The file.
        line: Line, from 1.
        column: Column in characters (not bytes), from 1.
        length: How many characters to underline; not part of equality.
        text: The whole source line, as it was parsed; empty when unknown; not part of equality.
        note: A few words on the place, shown beside it; not part of equality.
    """

    file: Path
    line: int
    column: int
    length: int = field(default=1, compare=False)
    text: str = field(default="", compare=False, repr=False)
    note: str = field(default="", compare=False)

    def noted(self, note: str) -> Position:
        """The same place with a note."""
        return replace(self, note=note)

    def shown(self, folder: Path | None = None) -> str:
        """`file:line:column`; the file relative to `folder` (default: here) when it lies below."""
        return f"{shown_path(self.file, folder)}:{self.line}:{self.column}"


def shown_path(file: Path, folder: Path | None) -> str:
    """A file's path for people: relative to the folder when it lies below it, with `/`."""
    base = Path.cwd() if folder is None else folder
    if file.is_relative_to(base):
        return file.relative_to(base).as_posix()
    return str(file)


class Source:
    """The text of a file, and the way from offsets to positions.

    Attributes:
        file: The file.
        text: Its decoded text, without a byte order mark.
    """

    __slots__ = ("_starts", "file", "text")

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self.text = text
        self._starts: list[int] | None = None

    def position(self, start: int, end: int | None = None, note: str = "") -> Position:
        """The position of the characters from offset `start` to `end`.

        The underlined length stops at the end of the first line.
        """
        starts = self._line_starts()
        line = bisect_right(starts, start) - 1
        text = self.line(line)
        column = start - starts[line]
        stop = min((start + 1 if end is None else end) - starts[line], len(text))
        return Position(self.file, line + 1, column + 1, max(1, stop - column), text, note)

    def line(self, index: int) -> str:
        """The text of a line, counted from 0, without its line break."""
        starts = self._line_starts()
        stop = starts[index + 1] if index + 1 < len(starts) else len(self.text)
        return self.text[starts[index] : stop].rstrip("\r\n")

    def _line_starts(self) -> list[int]:
        # Only `\n` counts, as in editors; the parser counts more characters as line breaks.
        if self._starts is None:
            starts = [0]
            found = self.text.find("\n")
            while found >= 0:
                starts.append(found + 1)
                found = self.text.find("\n", found + 1)
            self._starts = starts
        return self._starts
