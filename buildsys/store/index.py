"""The SQLite index: what each action key gave, what models' code reads, and digests by stat.

Only the coordinator of a build opens it; workers return results. Losing it costs rebuilds, nothing
else, so a file that is not a database is set aside and made anew.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildsys.store.content import Stored, StoreError

SCHEMA_VERSION = 1
SCHEMA = """
create table if not exists trace (
  key text primary key, shape text not null, rule text not null, manifest text not null,
  outputs text not null, notes text not null, seconds real not null, peak_rss integer not null,
  created real not null
) without rowid;
create index if not exists trace_shape on trace (shape);
create table if not exists discovery (
  static text not null, found text not null, created real not null, primary key (static, found)
) without rowid;
create table if not exists history (slot text primary key, key text not null) without rowid;
create table if not exists memo (
  path text primary key, size integer, mtime integer, ctime integer, inode integer, digest text
) without rowid;
"""


@dataclass(frozen=True)
class Trace:
    """What one action gave.

    Attributes:
        key: The action key.
        manifest: Everything that the key was made of.
        outputs: Output name to digest and size.
        notes: What the worker wanted said.
        seconds: Wall time of the worker.
        peak_rss: Peak resident memory of the worker in bytes.
    """

    key: str
    manifest: dict[str, Any]
    outputs: dict[str, Stored]
    notes: tuple[str, ...]
    seconds: float
    peak_rss: int


class DamagedIndex(Exception):
    """The file is not what SQLite wrote. It has been set aside: open the index anew."""


REFUSALS = ("locked", "full", "readonly", "read-only", "disk i/o", "unable to open")
"""Parts of SQLite's messages that speak of the disk, not of the file's content."""


class Index:
    """The index file `index.sqlite` below `root`."""

    def __init__(self, root: Path) -> None:
        self._path = root / "index.sqlite"
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreError(
                f"cannot open {self._path}: {error}",
                "point MODELBUILD_CACHE at a folder that can be written",
            ) from error
        self.statements = 0

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # Not a database any more. The index is derived: what it knew is found out again.
            self._discard()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.execute("pragma busy_timeout = 30000")
            found = connection.execute("pragma user_version").fetchone()[0]
            connection.execute("select count(*) from sqlite_master").fetchone()
            if found > SCHEMA_VERSION:
                raise StoreError(
                    f"{self._path} was written by a newer modelbuild (schema {found})",
                    "update modelbuild, or point MODELBUILD_CACHE at another folder",
                )
            if found < SCHEMA_VERSION:
                connection.execute("pragma journal_mode = wal")
                connection.executescript(SCHEMA)
                connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
            connection.execute("pragma synchronous = normal")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        self.statements += 1
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.DatabaseError) -> StoreError | DamagedIndex:
        """What an error of SQLite means; a file that is damaged is set aside."""
        if any(part in str(error).lower() for part in REFUSALS):
            return StoreError(
                f"cannot use {self._path}: {error}",
                "free some disk space, or point MODELBUILD_CACHE at a folder that can be written",
            )
        self._connection.close()
        self._discard()
        return DamagedIndex(str(error))

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic set of writes."""
        try:
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.DatabaseError):
                    self._connection.execute("rollback")
                raise
            self._connection.execute("commit")
        except sqlite3.DatabaseError as error:
            raise self._refusal(error) from error

    def _write(self, sql: str, parameters: tuple[Any, ...]) -> None:
        self.statements += 1
        self._connection.execute(sql, parameters)

    # Traces

    def trace(self, key: str) -> Trace | None:
        """What the action with this key gave, if it was ever run."""
        rows = self._rows(
            "select manifest, outputs, notes, seconds, peak_rss from trace where key = ?", (key,)
        )
        if not rows:
            return None
        manifest, outputs, notes, seconds, peak_rss = rows[0]
        try:
            return Trace(
                key,
                json.loads(manifest),
                {name: Stored(*pair) for name, pair in json.loads(outputs).items()},
                tuple(json.loads(notes)),
                seconds,
                peak_rss,
            )
        except (ValueError, TypeError):
            return None

    def has_shape(self, shape: str) -> bool:
        """Whether any trace has the rule, worker and options that `shape` is the digest of."""
        return bool(self._rows("select 1 from trace where shape = ? limit 1", (shape,)))

    def seconds(self, rule: str) -> float | None:
        """The mean wall time of a rule's actions in seconds, where there is history."""
        value = self._rows("select avg(seconds) from trace where rule = ?", (rule,))[0][0]
        return None if value is None else float(value)

    def record(
        self, trace: Trace, shape: str, slots: Iterable[str], static: str | None, found: str | None
    ) -> None:
        """Writes a finished action: its trace, where it stands in history, what it discovered."""
        with self.transaction():
            self._write(
                "insert or replace into trace values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    trace.key,
                    shape,
                    trace.manifest["rule"],
                    json.dumps(trace.manifest, sort_keys=True),
                    json.dumps({n: [s.digest, s.size] for n, s in trace.outputs.items()}),
                    json.dumps(trace.notes),
                    trace.seconds,
                    trace.peak_rss,
                    time.time(),
                ),
            )
            if static is not None and found is not None:
                self._write(
                    "insert or replace into discovery values (?, ?, ?)",
                    (static, found, time.time()),
                )
            self._note(slots, trace.key)

    # What models' code reads

    def discoveries(self, static: str) -> list[dict[str, str]]:
        """The sets of discovered files (path to digest) under a static key, latest first."""
        rows = self._rows(
            "select found from discovery where static = ? order by created desc", (static,)
        )
        return [json.loads(found) for (found,) in rows]

    # History: which key stood at a place in the graph when it was last built

    def last_key(self, slots: Iterable[str]) -> str | None:
        """The key that was last built for any of these places."""
        for slot in slots:
            rows = self._rows("select key from history where slot = ?", (slot,))
            if rows:
                return str(rows[0][0])
        return None

    def note(self, entries: Iterable[tuple[Iterable[str], str]]) -> None:
        """Brings history up to date; writes nothing where it is."""
        entries = [(tuple(slots), key) for slots, key in entries]
        known = dict(self._rows("select slot, key from history"))
        if all(known.get(slot) == key for slots, key in entries for slot in slots):
            return
        with self.transaction():
            for slots, key in entries:
                self._note(slots, key)

    def _note(self, slots: Iterable[str], key: str) -> None:
        for slot in slots:
            self._write("insert or replace into history values (?, ?)", (slot, key))

    # Digests by stat

    def memo_all(self) -> dict[str, tuple[int, int, int, int, str]]:
        """The whole memo: path to (size, mtime_ns, ctime_ns, inode, digest), in one statement."""
        return {row[0]: row[1:] for row in self._rows("select * from memo")}

    def memo_write(self, rows: Iterable[tuple[str, int, int, int, int, str]]) -> None:
        """Adds or replaces rows of the memo."""
        with self.transaction():
            for row in rows:
                self._write("insert or replace into memo values (?, ?, ?, ?, ?, ?)", row)
