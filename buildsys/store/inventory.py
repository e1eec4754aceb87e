"""What lies in the store, and who needs it: what collection, status and verification look at.

The disk is the truth: what is counted is what is there, not what the index remembers.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from buildsys.store.content import TREE, Store
from buildsys.store.index import Index, Trace

ARTIFACTS, BUNDLE = "artifacts", "bundle"
RECORD = ".placed.json"
LOCKS, LOCK_PREFIX = "locks", "build-"
TEMPORARY = ".put-"
SLACK_NS = 1_000_000_000
"""A build puts its first file after its start, by clocks that may differ by this much."""


@dataclass(frozen=True)
class File:
    """A stored file as it was found.

    Attributes:
        name: The digest of its bytes, in hexadecimal.
        size: Bytes.
        mtime_ns: When it was written.
        inode: Which file it is: another one may take its name.
    """

    name: str
    size: int
    mtime_ns: int
    inode: int


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
        self.files = {file.name: file for file in scan(store.root / "files")}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def names(self, digests: Iterable[str]) -> set[str]:
        """The files behind digests, whether they are there or not."""
        found: set[str] = set()
        for digest in digests:
            found.add(digest.partition(":")[2])
            found.update(self.members(digest))
        return found

    def members(self, digest: str) -> tuple[str, ...]:
        """The files that a tree's manifest names; nothing for a file, or where it cannot be read.

        The manifest is not checked, for a look must not change anything. A damaged one can only
        make us keep too much, or too little of a tree that is of no use any more.
        """
        if not digest.startswith(TREE):
            return ()
        if digest not in self._members:
            try:
                rows = json.loads(self._store.path(digest).read_bytes())
                self._members[digest] = tuple(str(d).partition(":")[2] for _, d, _ in rows)
            except (OSError, ValueError, TypeError):
                return ()
        return self._members[digest]

    def outputs(self, trace: Trace) -> list[str]:
        """The files that are a trace's outputs, a tree's manifest before its files."""
        digests = [output.digest for output in trace.outputs.values()]
        names = []
        for digest in sorted(digests, key=lambda d: not d.startswith(TREE)):
            names += [digest.partition(":")[2], *self.members(digest)]
        return names

    def young(self, live: Mapping[str, int]) -> set[str]:
        """Files that a running build may have put, and not recorded yet."""
        if not live:
            return set()
        start = min(live.values()) - SLACK_NS
        return {file.name for file in self.files.values() if file.mtime_ns >= start}

    def take_out(self, file: File) -> bool:
        """Removes a file, if it is still the one that was looked at.

        Raises:
            OSError: It cannot be removed.
        """
        path = self._store.path(f"sha256:{file.name}")
        aside = self._store.root / "files" / f"{TEMPORARY}gone-{os.getpid()}-{file.name}"
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        with suppress(FileNotFoundError):  # Another collection sweeps what lies aside.
            found = aside.lstat()
            if (found.st_ino, found.st_mtime_ns) != (file.inode, file.mtime_ns):
                aside.rename(path)  # A build has put it again meanwhile.
                return False
            aside.unlink()
        return True

    def total(self, names: Iterable[str]) -> int:
        """Bytes of those files that are there."""
        return sum(self.files[name].size for name in names if name in self.files)


def scan(folder: Path) -> list[File]:
    """Every stored file below `files/`."""
    found = []
    for shard in _entries(folder):
        if shard.name.startswith(".") or not shard.is_dir(follow_symlinks=False):
            continue
        for entry in _entries(Path(shard.path)):
            try:
                information = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # Collected by another process a moment ago.
            found.append(
                File(
                    entry.name,
                    information.st_size,
                    information.st_mtime_ns,
                    information.st_ino,
                )
            )
    return found


def logs_of(root: Path) -> list[Log]:
    """The logs of steps, the latest first."""
    found = []
    for entry in _entries(root / "logs"):
        with suppress(FileNotFoundError):
            if entry.name.endswith(".log"):
                information = entry.stat(follow_symlinks=False)
                path = Path(entry.path)
                found.append(Log(path, information.st_size, information.st_mtime))
    return sorted(found, key=lambda log: (-log.mtime, log.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


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
