"""Finds the files that a recipe says a model's own code reads."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PASSED = frozenset((".git", "__pycache__", "artifacts"))
"""Folders that no glob looks into."""


def declared_files(
    folder: Path, patterns: Iterable[str], look: Callable[[str], object] = lambda path: None
) -> list[str]:
    """Expands globs into the names of files, relative to a folder.

    A match that is a folder stands for all in it.

    Args:
        folder: What the globs are relative to.
        patterns: The globs.
        look: Is called with each folder in which another match could come up.
    """
    found: set[str] = set()
    for pattern in patterns:
        for at in _searched(folder, pattern):
            look(at)
        for match in glob.glob(pattern, root_dir=folder, recursive=True, include_hidden=True):
            found.update(_files(os.path.join(folder, match), look))
    names = (os.path.relpath(path, folder) for path in found)
    return sorted(name for name in names if PASSED.isdisjoint(name.split(os.sep)))


def _searched(folder: Path, pattern: str) -> Iterator[str]:
    if not glob.has_magic(pattern):
        yield os.path.join(folder, os.path.dirname(pattern))
        return
    plain = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        plain.append(part)
    for root, folders, _ in os.walk(os.path.join(folder, *plain)):
        folders[:] = [name for name in folders if name not in PASSED]
        yield root


def _files(path: str, look: Callable[[str], object]) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for root, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in PASSED]
        look(root)
        yield from (os.path.join(root, name) for name in names)
