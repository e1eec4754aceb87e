"""Writes `docs/coverage.md`: its first part is the zoo's table, its second that of timm's families."""

from __future__ import annotations

from pathlib import Path

MARK = "<!-- timm -->\n"
"""What stands between the two parts."""


def write(document: Path, *, zoo: str | None = None, timm: str | None = None) -> None:
    """Replaces one part of the document, and keeps the other.

    Args:
        document: Its path; it need not exist.
        zoo: The first part, or `None` to keep it.
        timm: The second part, or `None` to keep it.
    """
    first, second = parts(document.read_text() if document.exists() else "")
    first, second = (first if zoo is None else zoo), (second if timm is None else timm)
    document.write_text(first + (MARK + second if second else ""))


def parts(text: str) -> tuple[str, str]:
    """The document's two parts."""
    first, _, second = text.partition(MARK)
    return first, second
