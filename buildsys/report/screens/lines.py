"""Lines as all screens print them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Console

NARROWEST = 30
"""A column of fewer characters is worse to read than lines that a terminal breaks."""


def duration(seconds: float) -> str:
    """A time span in a unit that fits."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def plain(console: Console, text: str, style: str | None = None) -> None:
    """Text as it is: wrapped at words on a terminal, not at all in a log."""
    wrap = console.is_terminal
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not wrap)


def copied(console: Console, text: str) -> None:
    """A line with a path, which a terminal may break but we do not: it is there to be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def wrapped(texts: Iterable[str], console: Console, indent: int) -> Iterator[str]:
    """Texts at words, below each other, where a terminal has the room; else as they are."""
    room = console.width - indent
    for text in texts:
        if console.is_terminal and room >= NARROWEST:
            yield from textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        else:
            yield text
