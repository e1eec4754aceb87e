"""A recipe that has been read and found right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.document import Key, Node, follow
from buildsys.recipe.position import Position
from buildsys.recipe.spec import Spec


@dataclass(frozen=True, eq=False)
class Recipe:
    """A validated `deploy.yaml`.

    Attributes:
        path: The file, absolute.
        folder: Its folder: every path in the recipe is relative to it, also those in fragments.
        spec: What it says.
        files: The file and the fragments that it includes, in order.
        environment: The variables that were put in with `${VAR}`, each with the value that was
            used (the default, where that was).
        warnings: Findings that do not stop anything.
    """

    path: Path
    folder: Path
    spec: Spec
    files: tuple[Path, ...]
    environment: Mapping[str, str]
    root: Node = field(repr=False)
    warnings: tuple[Diagnostic, ...] = ()

    def where(self, *keys: Key) -> Position:
        """Where a value is written: `where("models", "classifier", "source", "checkpoint")`.

        For what the recipe leaves out: the key of the nearest part that exists and would hold it.
        A value that an alias or a merge key brings in is where it is really written.
        """
        found = follow(self.root, keys)
        return found.value_position() if found.depth == len(keys) else found.key_position()

    def where_key(self, *keys: Key) -> Position:
        """Where the key of a value is written; for an item of a list, where the value is."""
        return follow(self.root, keys).key_position()

    def resolve(self, written: str) -> Path:
        """The file that a path in the recipe means."""
        return self.folder / written
