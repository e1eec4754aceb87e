"""What an error says, short enough for a message of ours; the log keeps the whole trace."""

from __future__ import annotations

from .request import StepError

LINES, LETTERS = 3, 400


def first_lines(error: Exception, most: int = LINES) -> str:
    """An error's first lines, without what runtimes put after them.

    Args:
        error: As it was raised.
        most: How many lines, of those that are not empty.
    """
    text = error.message if isinstance(error, StepError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:most])[:LETTERS] or type(error).__name__
