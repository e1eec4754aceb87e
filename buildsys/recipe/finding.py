"""Where the recipe is that a command is about."""

from __future__ import annotations

import os
from pathlib import Path

from buildsys.recipe.diagnostic import Diagnostic, RecipeError

FILE_NAME = "deploy.yaml"


def find(start: Path, name: str = FILE_NAME) -> Path:
    """The recipe in a folder or the nearest one above it.

    Raises:
        RecipeError: There is none.
    """
    folder = absolute(start)
    for candidate in (folder, *folder.parents):
        if is_file(candidate / name):
            return candidate / name
    message = f"no `{name}` in `{folder}` or any folder above it"
    raise RecipeError([Diagnostic(message, hint="go to your project, or name one with `--file`")])


def absolute(path: Path) -> Path:
    """A path from the root. A recipe that is a link is the recipe of the folder that the link is in."""
    return Path(os.path.abspath(path))


def is_file(path: Path) -> bool:
    """Whether a regular file is there; a path that no file can have leads to none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
