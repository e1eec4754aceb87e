"""Suggestions: the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MANY = 12


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, or `None` when none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(known, reverse=True)}
    close = get_close_matches(word.casefold(), sorted(by_folded), n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], none: str, some: str = "one of") -> str:
    """A hint for a word that is not known.

    Args:
        word: What was written.
        known: What would have been right, in the order in which to list it.
        none: The hint when there is nothing to choose from.
        some: How a list of the known words begins.
    """
    words = list(known)
    if not words:
        return none
    best = nearest(word, words)
    if best is not None:
        return f"did you mean `{best}`?"
    listed = ", ".join(f"`{each}`" for each in words[:_MANY])
    more = f" and {len(words) - _MANY} more" if len(words) > _MANY else ""
    return f"{some} {listed}{more}"
