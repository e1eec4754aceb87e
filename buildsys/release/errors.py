"""What goes wrong with bundles."""

from __future__ import annotations


class BundleError(Exception):
    """A bundle cannot be made, or is not what it says.

    Attributes:
        judged: Whether it is an artifact's verdict that forbids it (exit status 3, else 1).
    """

    def __init__(self, message: str, hint: str | None = None, *, judged: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.judged = judged
