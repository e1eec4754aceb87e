"""Which file names are one name on some file system.

macOS and Windows ignore case, and macOS takes composed and decomposed letters as equal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator


def folded(name: str) -> str:
    """Gives the same text for names that a file system may take as equal."""
    # Folding may compose or decompose, so both forms are taken (Unicode, 3.13, D145).
    text = unicodedata.normalize("NFD", name)
    return unicodedata.normalize("NFD", text.casefold())


def collisions(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Gives pairs of paths that cannot lie in one folder on every file system.

    Two paths collide where they are equal up to case and Unicode's forms, where folders on the way to
    them are, and where one is a file and the other one needs a folder of that name.
    """
    files: dict[str, str] = {}
    folders: dict[str, tuple[str, str]] = {}
    for name in names:
        parts = name.split("/")
        key = folded(name)
        if key in files:
            yield files[key], name
        if key in folders:
            yield folders[key][1], name
        files.setdefault(key, name)
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            above = folded(folder)
            if above in files:
                yield files[above], name
            written, first = folders.setdefault(above, (folder, name))
            if written != folder:
                yield first, name
