"""A recipe that has been read and found right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.outline import Choice, Detour, Outline
from buildsys.recipe.schema.spec import Spec, TargetEntry
from buildsys.recipe.text.document import Key, Node, follow
from buildsys.recipe.text.position import Position


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
        choices: What searches chose, by label; see `planner.choosing`.
        detours: The routes that are taken in place of the first ones, by label; see `planner.detours`.
        warnings: Findings that do not stop anything.
    """

    path: Path
    folder: Path
    spec: Spec
    files: tuple[Path, ...]
    environment: Mapping[str, str]
    root: Node = field(repr=False)
    warnings: tuple[Diagnostic, ...] = ()
    choices: Mapping[str, Choice] = field(default_factory=dict)
    detours: Mapping[str, Detour] = field(default_factory=dict)

    @property
    def outline(self) -> Outline:
        """What commands need of it once its graph is planned."""
        return Outline(
            self.path,
            self.folder,
            self.spec.project,
            self.files,
            tuple(self.environment),
            {name: self.folder / each.lock for name, each in self.spec.toolchains.items()},
            self.choices,
            self.detours,
        )

    @property
    def lock(self) -> Path:
        """Where the choices of its searches are kept: `deploy.lock.yaml`, beside `deploy.yaml`."""
        return self.outline.lock

    def held_to(self, entry: TargetEntry) -> str | None:
        """The tolerances of an entry: its own, or those that its profile's search is subject to."""
        if entry.accept is not None or entry.quantization is None:
            return entry.accept
        search = self.spec.quantization[entry.quantization].search
        return None if search is None else search.subject_to

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
