"""The SQLite index: what each action key gave, what models' code reads, and digests by stat.

Only the coordinator of a build opens it; workers return results.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from buildsys.store.content import Stored
from buildsys.store.database import Database, sum_of

USED_GRAIN = 86_400.0
"""Seconds. The time of last use is brought up to date once a day, so that a no-op writes nothing."""


@dataclass(frozen=True)
class Trace:
    """What one action gave.

    Attributes:
        key: The action key.
        record: Everything that the key was made of, as JSON: parsed only where it is asked for.
        outputs: Output name to digest and size.
        notes: What the worker wanted said.
        seconds: Wall time of the worker.
        peak_rss: Peak resident memory of the worker in bytes.
        used: When it was last a hit (POSIX seconds, to a day).
    """

    key: str
    record: str
    outputs: dict[str, Stored]
    notes: tuple[str, ...]
    seconds: float
    peak_rss: int
    used: float = 0.0

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The record; empty where it cannot be read."""
        try:
            found = json.loads(self.record)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Expense:
    """What the actions of a rule took so far.

    Attributes:
        seconds: Mean wall time.
        peak_rss: Largest resident memory in bytes.
    """

    seconds: float
    peak_rss: int


MOST_VALUES = 500
"""How many values a statement takes: SQLite's own limit was 999 for long."""


class Known:
    """The traces that stood at a project's places when they were last built, read at once.

    Attributes:
        keys: Place to key, and the key that stood there before it.
        traces: By key.
    """

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, str | None]] = {}
        self.traces: dict[str, Trace] = {}


class Index(Database):
    """The index file `index.sqlite` below a store's folder; see `Database`."""

    # Traces

    def trace(self, key: str) -> Trace | None:
        """What the action with this key gave, if it was ever run."""
        rows = self._rows(f"select {COLUMNS} from trace where key = ?", (key,))  # noqa: S608 - no value of anybody's is in it
        return self._trace(rows[0]) if rows else None

    def known(self, project: str, slots: Collection[str] | None = None) -> Known:
        """What was last built for a project, in one statement.

        Args:
            project: Its name.
            slots: The only places that are of interest; `None` for all.
        """
        known = Known()
        values: tuple[str, ...] = (f"{project}:", f"{project};")
        where = "slot >= ? and slot < ?"
        if slots is not None and len(slots) <= MOST_VALUES:
            where, values = f"slot in ({', '.join('?' * len(slots))})", tuple(slots)
        rows = self._rows(
            f"select slot, previous, {COLUMNS} from history join trace using (key) where {where}",  # noqa: S608 - no value of anybody's is in it
            values,
        )
        for slot, previous, *columns in rows:
            key = columns[0]
            if key not in known.traces:
                known.traces[key] = self._trace(columns)
            known.keys[slot] = (key, previous)
        return known

    def has_shape(self, shape: str) -> bool:
        """Whether any trace has the rule, worker and options that `shape` is the digest of."""
        return bool(self._rows("select 1 from trace where shape = ? limit 1", (shape,)))

    def expenses(self) -> dict[str, Expense]:
        """What the actions of each rule took, in one statement."""
        rows = self._rows("select rule, avg(seconds), max(peak_rss) from trace group by rule")
        return {rule: Expense(seconds, peak) for rule, seconds, peak in rows}

    def record(
        self, trace: Trace, shape: str, slots: Iterable[str], static: str | None, found: str | None
    ) -> None:
        """Writes a finished action: its trace, where it stands in history, what it discovered."""
        now = time.time()
        outputs = json.dumps({n: [s.digest, s.size] for n, s in trace.outputs.items()})
        notes = json.dumps(trace.notes)
        with self.transaction():
            self._write(
                "insert or replace into trace values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    trace.key,
                    shape,
                    trace.manifest["rule"],
                    trace.record,
                    outputs,
                    notes,
                    trace.seconds,
                    trace.peak_rss,
                    now,
                    now,
                    sum_of(trace.key, trace.record, outputs, notes),
                ),
            )
            if static is not None and found is not None:
                self._write(
                    "insert or replace into discovery values (?, ?, ?)", (static, found, now)
                )
            self._note(slots, trace.key)

    def forget(self, keys: Iterable[str], discoveries: Iterable[tuple[str, str]] = ()) -> None:
        """Removes traces, and what was discovered for them (static key, files found)."""
        with self.transaction():
            self._write_all("delete from trace where key = ?", [(key,) for key in keys])
            self._write_all("delete from discovery where static = ? and found = ?", discoveries)

    def idle(self, since: float) -> list[Trace]:
        """Traces that stood at no place the last two times, and were of no use since then."""
        rows = self._rows(
            f"select {COLUMNS} from trace where used < ? and key not in (select key from history "  # noqa: S608 - no value of anybody's is in it
            "union select previous from history where previous is not null)",
            (since,),
        )
        return [self._trace(row) for row in rows]

    def places(self) -> dict[str, list[str]]:
        """Where in projects' graphs traces stand: key to places."""
        found: dict[str, list[str]] = {}
        for slot, key in self._whole("select slot, key from history order by slot"):
            found.setdefault(key, []).append(slot)
        return found

    def touch(self, traces: Iterable[Trace]) -> None:
        """Says that traces were of use; writes at most once a day for each."""
        now = time.time()
        stale = [(now, t.key) for t in traces if abs(now - t.used) > USED_GRAIN]
        if stale:
            with self.transaction():
                self._write_all("update trace set used = ? where key = ?", stale)

    def all_traces(self) -> list[Trace]:
        """Every trace, the latest used first."""
        rows = self._rows(f"select {COLUMNS} from trace order by used desc, created desc, key")  # noqa: S608 - no value of anybody's is in it
        return [self._trace(row) for row in rows]

    # What models' code reads

    def discoveries(self, static: str) -> list[dict[str, str]]:
        """The sets of discovered files (path to digest) under a static key, latest first."""
        rows = self._rows(
            "select found from discovery where static = ? order by created desc", (static,)
        )
        sets = []
        for (found,) in rows:
            with suppress(ValueError):
                sets.append(json.loads(found))
        return sets

    # History: which key stood at a place in the graph when it was last built

    def note(self, known: Known, entries: Iterable[tuple[Iterable[str], str]]) -> None:
        """Brings history up to date with the keys that hold now; writes nothing where it is.

        Args:
            known: What history said.
            entries: Places, and the key that stands there.
        """
        moved = [
            (slots, key)
            for slots, key in entries
            if any(known.keys.get(slot, ("", None))[0] != key for slot in slots)
        ]
        if not moved:
            return
        with self.transaction():
            for slots, key in moved:
                self._note(slots, key)

    def _note(self, slots: Iterable[str], key: str) -> None:
        self._write_all(
            "insert into history values (?, ?, null) on conflict (slot) do update "
            "set previous = case when key = excluded.key then previous else key end, "
            "key = excluded.key",
            [(slot, key) for slot in slots],
        )

    # What must not be collected

    def open_build(self, name: str, started_ns: int) -> None:
        """Says that a build runs: what is put into the store from now on is in use."""
        with self.transaction():
            self._write("insert or replace into build values (?, ?)", (name, started_ns))

    def lease(self, name: str, digests: Iterable[str]) -> None:
        """Keeps objects from being collected while a build runs."""
        with self.transaction():
            self._write_all(
                "insert or ignore into lease values (?, ?)", [(name, d) for d in digests]
            )

    def close_build(self, name: str) -> None:
        """Ends a build's leases."""
        with self.transaction():
            self._write("delete from lease where build = ?", (name,))
            self._write("delete from build where name = ?", (name,))

    def builds(self) -> dict[str, int]:
        """Builds that did not end yet, or were killed: name to start in POSIX nanoseconds."""
        return dict(self._whole("select name, started from build"))

    def leased(self) -> set[str]:
        """Every digest that some build has leased."""
        return {d for (d,) in self._whole("select digest from lease")}

    def pins(self) -> dict[str, set[str]]:
        """What lies in artifacts' folders and bundles of this machine: place to digests."""
        found: dict[str, set[str]] = {}
        for place, digest in self._whole("select place, digest from pin"):
            found.setdefault(place, set()).add(digest)
        return found

    def pin(self, prefix: str, possible: set[str], held: Mapping[str, set[str]]) -> None:
        """Says what places hold; writes nothing where that is known.

        Args:
            prefix: Begins the names of all places that are spoken of.
            possible: The places there may be; what others held is let go.
            held: What some of them hold now. The others hold what they held.
        """
        rows = self._rows(
            "select place, digest from pin where place >= ? and place < ?",
            (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
        )
        known: dict[str, set[str]] = {}
        for place, digest in rows:
            known.setdefault(place, set()).add(digest)
        changed = dict(held)
        changed |= {place: set() for place in known if place not in possible}
        changed = {p: d for p, d in changed.items() if known.get(p, set()) != d}
        if not changed:
            return
        with self.transaction():
            for place, digests in changed.items():
                self._write("delete from pin where place = ?", (place,))
                self._write_all("insert into pin values (?, ?)", [(place, d) for d in digests])

    def unpin(self, places: Iterable[str]) -> None:
        """Lets go of what places held."""
        with self.transaction():
            self._write_all("delete from pin where place = ?", [(place,) for place in places])

    # Digests by stat

    def memo_below(self, folders: Iterable[str]) -> dict[str, tuple[int, int, int, int, str]]:
        """What is known of files below folders: path to (size, mtime_ns, ctime_ns, inode, digest)."""
        found = {}
        for folder in folders:
            rows = self._rows(
                "select * from memo where path >= ? and path < ?", (f"{folder}/", f"{folder}0")
            )
            found.update({row[0]: self._memo(row) for row in rows})
        return found

    def memo_of(self, path: str) -> tuple[int, int, int, int, str] | None:
        """What is known of one file."""
        rows = self._rows("select * from memo where path = ?", (path,))
        return self._memo(rows[0]) if rows else None

    def memo_forget(self, is_gone: Callable[[str], bool]) -> None:
        """Forgets files that are not there any more."""
        gone = [(path,) for (path,) in self._whole("select path from memo") if is_gone(path)]
        if gone:
            with self.transaction():
                self._write_all("delete from memo where path = ?", gone)

    def memo_write(self, rows: Iterable[tuple[str, int, int, int, int, str]]) -> None:
        """Adds or replaces rows of the memo."""
        with self.transaction():
            self._write_all(
                "insert or replace into memo values (?, ?, ?, ?, ?, ?, ?)",
                [(*row, sum_of(*row)) for row in rows],
            )

    # What source files need, by their digests

    def needs(self) -> dict[str, str]:
        """What is known of source files: digest to the line that was written."""
        rows = self._whole("select digest, said, sum from need")
        if any(written != sum_of(digest, said) for digest, said, written in rows):
            raise self._damaged("what a source file needs is not as it was written")
        return {digest: said for digest, said, _ in rows}

    def needs_write(self, rows: Iterable[tuple[str, str]]) -> None:
        """Adds or replaces what source files need."""
        with self.transaction():
            self._write_all(
                "insert or replace into need values (?, ?, ?)",
                [(digest, said, sum_of(digest, said)) for digest, said in rows],
            )

    # Rows, as far as they are what was written

    def _trace(self, row: Sequence[Any]) -> Trace:
        """A trace from its columns."""
        key, manifest, outputs, notes, seconds, peak_rss, used, written = row
        if written != sum_of(key, manifest, outputs, notes):
            raise self._damaged("what an action gave is not as it was written")
        return Trace(
            key,
            manifest,
            {name: Stored(*pair) for name, pair in json.loads(outputs).items()},
            tuple(json.loads(notes)),
            seconds,
            peak_rss,
            used,
        )

    def _memo(self, row: Sequence[Any]) -> tuple[int, int, int, int, str]:
        """What is known of a file, from its columns."""
        path, size, mtime, ctime, inode, digest, written = row
        if written != sum_of(path, size, mtime, ctime, inode, digest):
            raise self._damaged("what is known of a file is not as it was written")
        return size, mtime, ctime, inode, digest


COLUMNS = "key, manifest, outputs, notes, seconds, peak_rss, used, sum"
