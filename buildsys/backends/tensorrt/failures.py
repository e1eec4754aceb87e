"""The parser's errors in words: operator, place and reason."""

from __future__ import annotations


def described(operator: str, name: str, text: str) -> str:
    """A parser's error: operator, place and reason."""
    place = name.strip("/").rpartition("/")[0].replace("/", ".") or name
    where = f" (in `{place}`)" if place else ""
    reason = " ".join(text.split())[:200]
    return f"`{operator}`{where}: {reason}" if operator else reason
