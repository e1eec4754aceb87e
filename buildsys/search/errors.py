"""A search that cannot be made."""

from __future__ import annotations


class SearchError(Exception):
    """A search cannot be made here.

    Attributes:
        message: What is wrong.
        hint: The way out.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
