"""What a long step leaves for the next attempt at it, should it be interrupted.

A folder of the store that belongs to the step's key: the executor gives it, and takes it away when the
step is done. The key of a step that runs the model's own code does not know that code until the step
has ended, so what was read is kept beside what was saved, and what was saved by other code is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

READ = "read.json"


class Resume:
    """Files by name, each whole or not there.

    Args:
        folder: Where they lie; made when the first is saved. `None` where nothing outlives the step.
        read: What the model's own code has read until now, path to digest.
    """

    def __init__(
        self, folder: Path | None = None, read: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._folder = folder
        self._read = read

    def drop_stale(self, digest: Callable[[str], str]) -> None:
        """Takes away what was saved by code, or with files, that are not now what they were.

        Args:
            digest: Gives the digest now of what a record names.
        """
        if self._folder is None or not self._folder.is_dir():
            return
        try:
            read: dict[str, str] = json.loads((self._folder / READ).read_text())
            stale = any(digest(path) != was for path, was in read.items())
        except (OSError, ValueError):
            stale = True
        if stale:
            for path in self._folder.iterdir():
                path.unlink(missing_ok=True)

    def save(self, name: str, content: bytes) -> None:
        """Keeps a file, in place of the one before; a killed process leaves one of the two."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        read = json.dumps(dict(self._read()), sort_keys=True).encode()
        # First: a state without a record of its code is dropped.
        for file, written in ((READ, read), (name, content)):
            temporary = self._folder / f".{file}.tmp"
            with temporary.open("wb") as stream:
                stream.write(written)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self._folder / file)

    def load(self, name: str) -> bytes | None:
        """A file that an earlier attempt saved, or `None`."""
        if self._folder is None:
            return None
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None

    def drop(self, name: str) -> None:
        """Takes a file away that is of no more use."""
        if self._folder is not None:
            (self._folder / name).unlink(missing_ok=True)
