"""How the samples' errors are spread, as bars of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

BAR = 24
"""Characters of the longest bar."""


def bars(figures: Mapping[str, Any], *, ascii_only: bool = False) -> Iterator[str]:
    """One line a decade of errors, none where an output has no histogram.

    Args:
        figures: An output's, as a measurement has them.
        ascii_only: For terminals and logs that show nothing else.
    """
    found = figures.get("histogram")
    if not found:
        return
    block, dots = ("#", "..") if ascii_only else ("█", "…")
    rows = [("exact", found["exact"])] if found["exact"] else []
    edges = found["edges"]
    pairs = zip(edges, edges[1:], found["counts"], strict=False)
    rows += [(f"{low:.0e} {dots} {high:.0e}", count) for low, high, count in pairs]
    most = max((count for _, count in rows), default=0)
    for name, count in rows:
        length = -(-count * BAR // most)
        yield f"{name:>14}  {block * length}{' ' if length else ''}{count}"
