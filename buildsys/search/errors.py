"""A search that cannot be made."""

from __future__ import annotations

from buildsys.planner.impossible import Impossible


class SearchError(Impossible):
    """A search cannot be made here."""
