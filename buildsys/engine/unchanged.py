"""What a build leaves as it is, since nothing that it depends on has changed since the last build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Unchanged:
    """The part of a project that a build does not look at again.

    Attributes:
        changed: The labels of the deployables that it does look at.
        actions: How many actions it leaves as they are, all of them up to date.
        entries: What `report.json` says of every deployable, as text, by label and in its order.
    """

    changed: frozenset[str]
    actions: int
    entries: Mapping[str, str]
