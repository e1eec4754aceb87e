"""The console that commands print to: text cannot act on the terminal, styles can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from buildsys.terminal import escaped


def screen(**settings: Any) -> Console:
    """Makes a console that escapes control characters and takes no text for markup.

    What is shown comes from recipes, files, logs and archives: `[/red]` is a name like any other, and an
    escape sequence in it must not reach the terminal. The sequences of our own styles still do.
    """
    console = Console(markup=False, **settings)
    console.push_render_hook(_Escaping())
    return console


class _Escaping(RenderHook):
    """Escapes the text of all that is printed, once it is laid out."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(each) for each in renderables]


class _Escaped:
    def __init__(self, content: ConsoleRenderable) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _safe(console.render(self._content, options))


def _safe(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        text = segment.text if segment.control else escaped(segment.text)
        yield (
            segment
            if text is segment.text or text == segment.text
            else Segment(text, segment.style)
        )
