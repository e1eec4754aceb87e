"""What commands need of a recipe once its graph is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Choice:
    """What a search chose for a deployable.

    Attributes:
        profile: A profile of the recipe's, or of those that are made for its searches; `None` for
            float, which is what a search begins with.
        found: What `deploy.lock.yaml` says of the search: its candidates and their figures.
    """

    profile: str | None
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Detour:
    """Which of several routes a deployable takes, since those before it gave nothing.

    Attributes:
        taken: The route.
        failed: Why each of those before it was left, by its word.
    """

    taken: str
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outline:
    """A recipe without its document and its models; plain data that a cache can hold.

    Attributes:
        path: The recipe's file, absolute.
        folder: Its folder.
        project: The project's name.
        files: The file and the fragments that it includes, in order.
        environment: The names of the variables that were put in with `${VAR}`.
        locks: The lock file of each toolchain that the recipe pins itself.
        choices: What searches chose, by label.
        detours: The routes that are taken in place of the first ones, by label.
    """

    path: Path
    folder: Path
    project: str
    files: tuple[Path, ...]
    environment: tuple[str, ...]
    locks: Mapping[str, Path] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    detours: Mapping[str, Detour] = field(default_factory=dict)

    @property
    def lock(self) -> Path:
        """Where the choices of its searches are kept: `deploy.lock.yaml`, beside `deploy.yaml`."""
        return self.path.with_name(f"{self.path.stem}.lock{self.path.suffix or '.yaml'}")
