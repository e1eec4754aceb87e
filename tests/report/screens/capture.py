"""What a screen prints, as lines."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console


def lines(
    print_to: Callable[[Console], None], *, width: int = 100, terminal: bool = False
) -> list[str]:
    """Prints to a console without color; trailing blanks are cut off."""
    file = io.StringIO()
    print_to(Console(file=file, width=width, force_terminal=terminal, color_system=None))
    return [line.rstrip() for line in file.getvalue().splitlines()]
