"""The SQLite file of the index: opened, written in transactions, set aside when it is damaged.

Losing it costs rebuilds, nothing else, so a file that is not what was written is set aside and rebuilt.
SQLite alone does not see that: it reads what is missing of a last page as zeros, and puts new rows over rows
that it cannot see any more, so that one action's row may hold the outputs of another. What results hang on
has a sum in each row.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from buildsys.store.content import StoreError

SCHEMA_VERSION = 4
TABLES = ("trace", "discovery", "history", "memo", "need", "build", "lease", "pin")
SCHEMA = """
create table trace (
  key text primary key, shape text not null, rule text not null, manifest text not null,
  outputs text not null, notes text not null, seconds real not null, peak_rss integer not null,
  created real not null, used real not null, sum integer not null
) without rowid;
create index trace_shape on trace (shape);
create table discovery (
  static text not null, found text not null, created real not null, primary key (static, found)
) without rowid;
create table history (
  slot text primary key, key text not null, previous text
) without rowid;
create table memo (
  path text primary key, size integer, mtime integer, ctime integer, inode integer, digest text,
  sum integer
) without rowid;
create table need (
  digest text primary key, said text not null, sum integer not null
) without rowid;
create table build (name text primary key, started integer not null) without rowid;
create table lease (
  build text not null, digest text not null, primary key (build, digest)
) without rowid;
create table pin (
  place text not null, digest text not null, primary key (place, digest)
) without rowid;
"""
PRIVATE = 0o700
"""The mode of the store's folder: nobody else reads it."""


class DamagedIndex(Exception):
    """The file is not what SQLite wrote. It has been set aside: open the index again."""


DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's codes for a file whose content is not what it wrote."""
CUT_OFF = "the file ends"
LACKING = ("no such table", "no such column", "could not decode", CUT_OFF)
"""Begin or hold messages that say the same with another code."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error speaks of the file's content; all others speak of the disk, or of us."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in DAMAGE:
        return True
    return any(part in str(error).lower() for part in LACKING)


class Database:
    """The file `index.sqlite` below a folder, and statements on it.

    Attributes:
        damage: What was wrong with the file, if it had to be rebuilt.
        statements: How many were executed, for tests.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "index.sqlite"
        self.damage: str | None = None
        try:
            root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            status = root.stat()
            # What is in there tells of models, data and environments.
            if status.st_mode & 0o077 and status.st_uid == os.geteuid():
                root.chmod(PRIVATE)
            self._connection = self._open()
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreError(
                f"cannot open {self._path}: {error}",
                "point MODELBUILD_CACHE at a folder that can be written",
            ) from error
        self.statements = 0

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            # Not a database any more. The index is derived: what it knew is found out again.
            self.damage = str(error)
            self._discard()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        self._inode = os.stat(self._path).st_ino
        try:
            connection.execute("pragma busy_timeout = 30000")
            found = connection.execute("pragma user_version").fetchone()[0]
            connection.execute("select count(*) from sqlite_master").fetchone()
            connection.execute("pragma cell_size_check = on")
            page = connection.execute("pragma page_size").fetchone()[0]
            if os.stat(self._path).st_size % page:
                raise sqlite3.DatabaseError(f"{CUT_OFF} within a page")
            if found > SCHEMA_VERSION:
                raise StoreError(
                    f"{self._path} was written by a newer modelbuild (schema {found})",
                    "update modelbuild, or point MODELBUILD_CACHE at another folder",
                )
            if found < SCHEMA_VERSION:
                # The change to WAL does not wait for others that do the same at this moment.
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX)
                    self._create(connection)
                finally:
                    os.close(folder)
            connection.execute("pragma synchronous = normal")
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("pragma journal_mode = wal")
        # Another process may be making the tables at the same moment.
        connection.execute("begin immediate")
        found = connection.execute("pragma user_version").fetchone()[0]
        if found < SCHEMA_VERSION:
            # What an older version knew is found out again: the index is derived.
            for table in TABLES:
                connection.execute(f"drop table if exists {table}")
            for statement in SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
        connection.execute("commit")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        self.statements += 1
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.ProgrammingError:
            raise  # A bug of ours: it says nothing of the file.
        except sqlite3.DatabaseError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.DatabaseError) -> StoreError | DamagedIndex:
        """What an error of SQLite means; a file that is damaged is set aside."""
        if not is_damage(error):
            return StoreError(
                f"cannot use {self._path}: {error}",
                "free some disk space, or point MODELBUILD_CACHE at a folder that can be written",
            )
        return self._damaged(str(error))

    def _damaged(self, why: str) -> DamagedIndex:
        """Sets the file aside."""
        self._connection.close()
        self._discard()
        return DamagedIndex(why)

    def _discard(self) -> None:
        """Removes the file, unless another process has already replaced it."""
        with suppress(FileNotFoundError):
            if os.stat(self._path).st_ino != self._inode:
                return
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
        except sqlite3.ProgrammingError:
            raise  # A bug of ours: it says nothing of the file.
        except sqlite3.DatabaseError as error:
            raise self._refusal(error) from error

    def _write(self, sql: str, parameters: tuple[Any, ...]) -> None:
        self.statements += 1
        self._connection.execute(sql, parameters)

    def _write_all(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self.statements += 1
        self._connection.executemany(sql, rows)

    def _whole(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows in which nothing is missing: what was zeroed is read as null."""
        rows = self._rows(sql)
        if any(None in row for row in rows):
            raise self._damaged("parts of it are gone")
        return rows


def sum_of(*columns: Any) -> int:
    """What tells a row that is as it was written: a CRC-32, since nobody forges one's own cache."""
    return zlib.crc32("\0".join(map(str, columns)).encode())
