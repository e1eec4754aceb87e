"""Digests of files by their stat, so that looking at an unchanged file hashes nothing.

A file that changed less than a clock's grain before it was looked at is *racy*: it could change again
within one tick and keep its size and times. Such a file is hashed each time, until it is old enough
(git calls this "racily clean").
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from buildsys.store.content import StoreError, hash_file, tree_digest, tree_files, tree_manifest
from buildsys.store.index import Index

FINE_NS = 50_000_000
"""Grain of file systems with sub-second times: a kernel tick is 1 to 10 ms."""
COARSE_NS = 2_000_000_000
"""Grain where times are whole seconds (FAT, HFS+, some network file systems)."""


def grain(mtime_ns: int) -> int:
    """How old a file with this time must be before its stat says that it has not changed."""
    return COARSE_NS if mtime_ns % 1_000_000_000 == 0 else FINE_NS


Identity = tuple[int, int, int, int]
"""Size, modification and change time in nanoseconds, inode."""


def identity_of(path: str | Path) -> Identity | None:
    """What a stat says of a file or a folder; links are followed. `None` when nothing is there."""
    try:
        information = os.stat(path)
    except OSError:
        return None
    return (
        information.st_size,
        information.st_mtime_ns,
        information.st_ctime_ns,
        information.st_ino,
    )


class Memo:
    """Digests of files and folders on disk, backed by the index.

    Attributes:
        hashed_bytes: How many bytes were read to hash them, for tests and `-v`.
        looked: Every path that was asked for, with what its stat said.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._known: dict[str, tuple[int, int, int, int, str] | None] = {}
        self._loaded: tuple[str, ...] = ()
        self._fresh: dict[str, tuple[int, int, int, int, str]] = {}
        self._racy: set[str] = set()
        self._given: dict[str, str] = {}
        self._moved: set[str] = set()
        self.hashed_bytes = 0
        self.looked: dict[str, Identity | None] = {}

    def load(self, *folders: Path) -> None:
        """Reads what is known of all files below folders: a statement each, whatever they hold."""
        names = [os.fspath(folder) for folder in folders]
        fresh = [n for n in dict.fromkeys(names) if not (n + os.sep).startswith(self._loaded)]
        self._known.update(self._index.memo_below(fresh))
        self._loaded += tuple(name + os.sep for name in fresh)

    def _remembered(self, path: str) -> tuple[int, int, int, int, str] | None:
        if path not in self._known and not path.startswith(self._loaded):
            self._known[path] = self._index.memo_of(path)
        return self._known.get(path)

    @property
    def settled(self) -> bool:
        """Whether the stat of all that was looked at can be trusted from now on."""
        return not self._racy

    def steady(self, path: str) -> bool:
        """Whether a file's content was the same all the time, and its stat can be trusted from now on.

        A file that was written a moment before the first look is steady once it was hashed again later.
        """
        known = self._fresh.get(path) or self._known.get(path)
        return (
            known is not None
            and known[:4] == self.looked.get(path)
            and path not in self._racy
            and path not in self._moved
        )

    def digest(self, path: str | Path) -> str | None:
        """The `sha256:…` digest of a file, or `None` when there is no such file."""
        name = os.fspath(path)  # A link that leads elsewhere tomorrow has another inode then.
        identity = self.look(name)
        if identity is None:
            return None
        known = self._fresh.get(name) or self._remembered(name)
        if known is not None and known[:4] == identity and name not in self._racy:
            return self._noted(name, known[4])
        seen_at = time.time_ns()
        try:
            digest = hash_file(Path(name))
        except OSError:
            return None
        self.hashed_bytes += identity[0]
        self._fresh[name] = (*identity, digest)
        # A clock that went back makes times of the future: those are never old enough.
        if seen_at - max(identity[1], identity[2]) < grain(identity[1]):
            self._racy.add(name)
        else:
            self._racy.discard(name)
        return self._noted(name, digest)

    def _noted(self, name: str, digest: str) -> str:
        """A digest that is given; a file that had another one before has moved under our hands."""
        if self._given.setdefault(name, digest) != digest:
            self._moved.add(name)
        return digest

    def look(self, path: str) -> Identity | None:
        """Stats a path, and remembers that its state was of interest."""
        identity = identity_of(path)
        self.looked[path] = identity
        return identity

    def tree(self, folder: Path, *, links: bool = False) -> str | None:
        """The `tree:…` digest of a folder, or `None` when it is not a folder of plain files.

        Raises:
            StoreError: With `links`, a link to a folder.
        """
        if not folder.is_dir():
            return None
        self.load(folder)
        for each, _, _ in os.walk(folder):
            self.look(each)  # A file that comes or goes changes its folder's time.
        try:
            files = tree_files(folder, links=links)
        except StoreError:
            if links:
                raise
            return None
        rows = []
        for name, file in files:
            digest = self.digest(file)
            if digest is None:
                return None
            rows.append((name, digest, self._size(file)))
        return tree_digest(tree_manifest(rows))

    def _size(self, file: Path) -> int:
        identity = self.looked[os.fspath(file)]
        return identity[0] if identity is not None else 0

    def of(self, path: Path) -> str | None:
        """The digest of a user's file or folder, in the store's terms."""
        return self.tree(path, links=True) if os.path.isdir(path) else self.digest(path)

    def placed(self, path: str | Path) -> str | None:
        """The digest of an artifact that was put at `path`; `None` where a link is in its place."""
        if os.path.islink(path):
            return None
        return self.tree(Path(path)) if os.path.isdir(path) else self.digest(path)

    def save(self) -> None:
        """Writes what was learnt; files that are still racy are looked at again first."""
        if self._racy:
            time.sleep(FINE_NS / 1e9)  # Artifacts were written a moment ago: let the clock move on.
        for name in list(self._racy):
            self.digest(Path(name))
        rows = [
            (name, *row)
            for name, row in self._fresh.items()
            if name not in self._racy and self._remembered(name) != row
        ]
        if rows:
            self._index.memo_write(rows)
            self._known.update({row[0]: row[1:] for row in rows})
