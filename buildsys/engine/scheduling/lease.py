"""What a running build needs of the store, so that a collection beside it leaves that alone.

A digest is leased before its file is trusted to be there, and a collector deletes within a write
transaction of the index in which it has read all leases: either it sees the lease, or the build sees
that the file is gone. What a build puts into the store is younger than its start, and is kept by that.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from buildsys.store import Index
from buildsys.store.content import writing
from buildsys.store.inventory import LOCK_PREFIX


class Lease:
    """A build's lease; it costs nothing until the build has something to run.

    Args:
        index: Where leases are written.
        folder: Where lock files lie. A lease counts as long as its lock is held.
    """

    def __init__(self, index: Index, folder: Path) -> None:
        self._index = index
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._descriptor: int | None = None
        self._leased: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether the build has begun to run things."""
        return self._descriptor is not None

    def open(self) -> None:
        """Begins. Done before anything is put into the store.

        Raises:
            StoreError: The store cannot be written.
        """
        if self._descriptor is not None:
            return
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{LOCK_PREFIX}{self._name}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor
        self._index.open_build(self._name, time.time_ns())

    def add(self, digests: Iterable[str]) -> None:
        """Keeps objects; look whether they are there after this, not before."""
        fresh = [digest for digest in digests if digest not in self._leased]
        if fresh:
            self._index.lease(self._name, fresh)
            self._leased.update(fresh)

    def close(self) -> None:
        """Ends it."""
        if self._descriptor is None:
            return
        with suppress(Exception):  # A lease whose lock is not held counts for nothing.
            self._index.close_build(self._name)
        with suppress(OSError):
            (self._folder / f"{LOCK_PREFIX}{self._name}").unlink()
        os.close(self._descriptor)
        self._descriptor = None
        self._leased.clear()
