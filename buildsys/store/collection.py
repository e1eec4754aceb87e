"""Garbage collection: takes out stored files by least recent use, while builds may be running.

What is kept, in this order: what lies in artifacts' folders and bundles (pins), what running builds
lease or have just put, then the outputs of traces, the latest used first, as far as there is room.

How it is safe beside builds: a build leases a digest before it looks whether the file is there, and
files are taken out only within a write transaction of the index in which all leases have been read.
So either the lease is seen here, or the build sees that the file is gone. A file that is put again
under our hands is another file of the same name; it is moved aside, recognised, and moved back.

How it is safe against being killed: each file goes in one step, and nothing on record says that it is
there. A trace without its files is a miss.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from buildsys.store.content import Store, writing
from buildsys.store.damage import Damage, verify
from buildsys.store.index import Index, Trace
from buildsys.store.inventory import (
    Inventory,
    Log,
    bury_dead_builds,
    is_gone,
    live_builds,
    logs_of,
    pinned,
)
from buildsys.store.local import File
from buildsys.store.size_estimate import Size, counted, grown
from buildsys.store.usage import Usage, usage

BATCH = 256
"""Files a transaction: builds wait for it before they can lease."""
HEADROOM = 0.9
"""How far an automatic collection goes below the limit, so that not every build collects."""
DAY = 86_400
TEMPORARY_SECONDS = 3600
LEFTOVERS_SECONDS = 7 * DAY
LOGS_SECONDS = 30 * DAY
LOGS_SHARE = 0.05
"""The part of the limit that logs may take: they are never asked for again, results are."""
IDLE_SECONDS = 30 * DAY


@dataclass
class Collected:
    """What a collection did, or would do.

    Attributes:
        limit: What files and logs were to be brought down to.
        bytes_before: Bytes of the stored files and logs before it.
        held_bytes: Bytes that could not go: pinned, leased or just put.
        files: How many files went.
        freed_bytes: Their bytes, and those of the logs that went.
        logs: How many old logs went.
        logs_freed_bytes: Their bytes.
        traces: How many traces went that nothing has asked for in a long time.
    """

    limit: int | None
    bytes_before: int
    held_bytes: int
    files: int = 0
    freed_bytes: int = 0
    logs: int = 0
    logs_freed_bytes: int = 0
    traces: int = 0

    @property
    def bytes_after(self) -> int:
        """Bytes of the stored files and logs after it."""
        return self.bytes_before - self.freed_bytes


@dataclass
class _Choice:
    """What stays and what goes."""

    held: set[str]
    held_bytes: int
    victims: list[File] = field(default_factory=list)


def _fits(size: Size, limit: int) -> bool:
    return size.files + size.logs <= limit and size.logs <= limit * LOGS_SHARE


class Collector:
    """Looks after the size and the soundness of one store.

    Args:
        root: The store's folder.
        store: Its files.
        index: Its index, opened by this process.
    """

    def __init__(self, root: Path, store: Store, index: Index) -> None:
        self._root = root
        self._store = store
        self._index = index

    def status(self, toolchains: Path | None = None) -> Usage:
        """What the cache holds. Changes nothing.

        Args:
            toolchains: Where environments are; default: a folder of the store.
        """
        return usage(self._root, self._store, self._index, toolchains or self._root / "toolchains")

    def verify(self, *, repair: bool = False) -> list[Damage]:
        """See `damage.verify`."""
        return verify(self._store, self._index, repair=repair)

    def collect_if_over(self, limit: int | None, more: Size | None = None) -> Collected | None:
        """Collects where files and logs have outgrown the limit; `None` where there is nothing to do.

        It goes a little below the limit, so that the next build need not collect again. Call it
        when this process's own build has ended: what that leased could not go.

        Args:
            limit: Bytes; `None` for no limit.
            more: What the build made. Files are not counted where an earlier count and this are within
                the limit.
        """
        if limit is None:
            return None
        if more is not None:
            size = grown(self._root, more)
            if size is not None and _fits(size, limit):
                return None
        size = Size(
            sum(file.size for file in self._store.objects.list()),
            sum(log.size for log in logs_of(self._root)),
        )
        if _fits(size, limit):
            counted(self._root, size)
            return None
        return self.collect(int(limit * HEADROOM))

    def collect(self, max_size: int | None, *, dry_run: bool = False) -> Collected:
        """Takes out what nothing names, then the least recently used, until the rest fits.

        Args:
            max_size: How many bytes of files and logs may stay; `None` takes out only what nothing names.
            dry_run: Whether to say only what would go.

        Raises:
            StoreError: The store cannot be written.
        """
        bury_dead_builds(self._root, self._index)
        if not dry_run:
            gone = [place for place in self._index.pins() if is_gone(place)]
            if gone:
                self._index.unpin(gone)
        inventory = Inventory(self._store)
        logs = logs_of(self._root)
        old = _outgrown(logs, max_size)
        kept = sum(log.size for log in logs) - sum(log.size for log in old)
        choice = self._choose(inventory, None if max_size is None else max_size - kept)
        before = inventory.size + sum(log.size for log in logs)
        done = Collected(max_size, before, choice.held_bytes)
        if dry_run:
            done.files = len(choice.victims)
            done.logs, done.logs_freed_bytes = len(old), sum(log.size for log in old)
            done.freed_bytes = done.logs_freed_bytes + sum(file.size for file in choice.victims)
            return done
        with writing(self._root):
            self._take_out(choice, inventory, done)
            self._store.sweep(older_than=time.time() - LEFTOVERS_SECONDS)
            for path in self._store.objects.temporaries():
                _remove_older(path, TEMPORARY_SECONDS)
            for log in old:
                if _removed(log):
                    done.logs += 1
                    done.logs_freed_bytes += log.size
            done.freed_bytes += done.logs_freed_bytes
        done.traces = self._forget_idle()
        return done

    def _choose(self, inventory: Inventory, max_size: int | None) -> _Choice:
        held = pinned(self._index) | self._index.leased()
        keep = inventory.names(held) | inventory.young(live_builds(self._root, self._index))
        keep &= inventory.files.keys()
        choice = _Choice(held, inventory.total(keep))
        room = None if max_size is None else max_size - choice.held_bytes
        evicted: list[list[str]] = []
        named = set(keep)
        for trace in self._index.all_traces():
            # A tree's manifest comes before its files: it goes first, and never stays alone.
            names = inventory.outputs(trace)
            named.update(names)
            fresh = [name for name in names if name not in keep]
            size = inventory.total(fresh)
            if room is None or size <= room:
                keep.update(fresh)
                room = None if room is None else room - size
            else:
                evicted.append(fresh)
        order = [name for name in inventory.files if name not in named]
        order += [name for names in reversed(evicted) for name in names]
        gone = [name for name in dict.fromkeys(order) if name in inventory.files]
        choice.victims = [inventory.files[name] for name in gone if name not in keep]
        return choice

    def _take_out(self, choice: _Choice, inventory: Inventory, done: Collected) -> None:
        for start in range(0, len(choice.victims), BATCH):
            with self._index.transaction():
                held = self._index.leased().union(*self._index.pins().values())
                safe = inventory.names(held - choice.held)
                for file in choice.victims[start : start + BATCH]:
                    if file.name not in safe and self._store.objects.take_out(file):
                        done.files += 1
                        done.freed_bytes += file.size

    def _forget_idle(self) -> int:
        """Forgets what was not asked for in a long time and what is not there any more.

        Other traces outlive their files: they are small, and tell the keys of what is below them.
        """
        old = list(self._index.idle(time.time() - IDLE_SECONDS))
        gone = self._store.missing(o for trace in old for o in trace.outputs.values())
        idle = [trace for trace in old if not gone.isdisjoint(trace.outputs.values())]
        if idle:
            found = [row for trace in idle if (row := _discovery(trace)) is not None]
            self._index.forget([trace.key for trace in idle], found)
        self._index.memo_forget(lambda path: not os.path.lexists(path))
        return len(idle)


def _discovery(trace: Trace) -> tuple[str, str] | None:
    """The row of what a model's code read: the digest of the rest of the record, and the files.

    Both are canonical JSON, as keys are.
    """
    record = dict(trace.manifest)
    found = record.pop("discovered", None)
    if found is None:
        return None
    static, files = (
        json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for part in (record, found)
    )
    return hashlib.sha256(static.encode()).hexdigest(), files


def _outgrown(logs: list[Log], limit: int | None) -> list[Log]:
    """The logs that are to go: those that are old, and the oldest above their part of the limit.

    Args:
        logs: All of them, the latest first.
        limit: Of the store; `None` for none.
    """
    latest = time.time() - LOGS_SECONDS
    room = None if limit is None else limit * LOGS_SHARE
    gone, taken = [], 0
    for log in logs:
        taken += log.size
        if log.mtime < latest or (room is not None and taken > room):
            gone.append(log)
    return gone


def _removed(log: Log) -> bool:
    with suppress(FileNotFoundError):
        log.path.unlink()
        return True
    return False


def _remove_older(path: Path, seconds: float) -> bool:
    with suppress(FileNotFoundError):
        if path.lstat().st_mtime < time.time() - seconds:
            path.unlink()
            return True
    return False
