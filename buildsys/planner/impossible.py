"""What cannot be planned."""

from __future__ import annotations


class Impossible(Exception):
    """What is asked for cannot be planned.

    Attributes:
        message: What is wrong.
        hint: The way out.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
