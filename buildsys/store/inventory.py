"""What lies in the store, and who needs it: what collection, status and verification look at.

The disk is the truth: what is counted is what is there, not what the index remembers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from buildsys.store.content import TREE, Store, named
from buildsys.store.index import Index, Trace
from buildsys.store.local import entries

ARTIFACTS, BUNDLE = "artifacts", "bundle"
RECORD = ".placed.json"
LOCKS, LOCK_PREFIX = "locks", "build-"
SLACK_NS = 1_000_000_000
"""A build puts its first file after its start, by clocks that may differ by this much."""


@dataclass(frozen=True)
class Log:
    """What a step printed.

    Attributes:
        path: The file.
        size: Bytes.
        mtime: When it was written (POSIX seconds).
    """

    path: Path
    size: int
    mtime: float


class Inventory:
    """The files of a store, listed once.

    Attributes:
        files: By name.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._members: dict[str, tuple[str, ...]] = {}
        self.files = {file.name: file for file in store.objects.list()}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def names(self, digests: Iterable[str]) -> set[str]:
        """The files behind digests, whether they are there or not."""
        found: set[str] = set()
        for digest in digests:
            found.add(named(digest))
            found.update(self.members(digest))
        return found

    def members(self, digest: str) -> tuple[str, ...]:
        """The files that a tree's manifest names; nothing for a file, or where it cannot be read.

        A damaged manifest can only make us keep too much, or too little of a tree that is of no use
        any more.
        """
        if not digest.startswith(TREE):
            return ()
        if digest not in self._members:
            rows = self._store.members(digest)
            if rows is None:
                return ()
            self._members[digest] = tuple(name for name, _ in rows)
        return self._members[digest]

    def outputs(self, trace: Trace) -> list[str]:
        """The files that are a trace's outputs, a tree's manifest before its files."""
        digests = [output.digest for output in trace.outputs.values()]
        names = []
        for digest in sorted(digests, key=lambda d: not d.startswith(TREE)):
            names += [named(digest), *self.members(digest)]
        return names

    def young(self, live: Mapping[str, int]) -> set[str]:
        """Files that a running build may have put, and not recorded yet."""
        if not live:
            return set()
        start = min(live.values()) - SLACK_NS
        return {file.name for file in self.files.values() if file.mtime_ns >= start}

    def total(self, names: Iterable[str]) -> int:
        """Bytes of those files that are there."""
        return sum(self.files[name].size for name in names if name in self.files)


def logs_of(root: Path) -> list[Log]:
    """The logs of steps, the latest first."""
    found = []
    for entry in entries(root / "logs"):
        with suppress(FileNotFoundError):
            if entry.name.endswith(".log"):
                information = entry.stat(follow_symlinks=False)
                path = Path(entry.path)
                found.append(Log(path, information.st_size, information.st_mtime))
    return sorted(found, key=lambda log: (-log.mtime, log.path))


def pinned(index: Index) -> set[str]:
    """The digests in places that are still there."""
    return {d for place, held in index.pins().items() if not is_gone(place) for d in held}


def is_gone(place: str) -> bool:
    """Whether the artifacts' folder or the bundle that a pin speaks of is no longer there."""
    kind, _, rest = place.partition(":")
    # `artifacts:<folder>:<recipe>:<label>`, where each may hold colons: any reading counts.
    parts = rest.split(":")
    paths = [":".join(parts[:end]) for end in range(1, len(parts) + 1)]
    if kind == ARTIFACTS:
        return not any(os.path.isfile(os.path.join(path, RECORD)) for path in paths)
    if kind == BUNDLE:
        return not any(os.path.isfile(path) for path in paths)
    return False  # Of a kind that a newer version knows.


def live_builds(root: Path, index: Index) -> dict[str, int]:
    """The builds that run now: name to start in POSIX nanoseconds."""
    return {
        name: started for name, started in index.builds().items() if _is_held(_lock(root, name))
    }


def bury_dead_builds(root: Path, index: Index) -> None:
    """Ends the leases of builds that were killed."""
    live = live_builds(root, index)
    for name in index.builds().keys() - live.keys():
        index.close_build(name)
        _lock(root, name).unlink(missing_ok=True)


def _lock(root: Path, name: str) -> Path:
    return root / LOCKS / f"{LOCK_PREFIX}{name}"


def _is_held(lock: Path) -> bool:
    """Whether a process holds a lock file; builds never share a name, so a free one stays free."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
