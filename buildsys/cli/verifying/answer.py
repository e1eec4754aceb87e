"""How `modelbuild verify` is to show what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """How an answer is to be shown.

    Attributes:
        screen: The console for people.
        as_json: Whether it goes to standard output as JSON instead.
        quiet: Whether only what is wrong is said.
        verbose: Whether more is said.
        color: The word of `--color`, for a console of standard error.
    """

    screen: Any
    as_json: bool
    quiet: bool
    verbose: bool
    color: str
