"""Objects in a folder of this machine: `<first two hex>/<sha256>`, read-only."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from buildsys.store.objects import Listed

CHUNK = 1 << 20
TEMPORARY = ".put-"


@dataclass(frozen=True)
class File(Listed):
    """A stored file as it was found.

    Attributes:
        inode: Which file it is: another one may take its name.
    """

    inode: int


@dataclass
class Draft:
    """A file that has no name in the store yet.

    Attributes:
        path: Where it is written.
        name: The digest of its bytes, in hexadecimal, once it is written.
        size: Bytes.
    """

    path: str
    name: str = ""
    size: int = 0


Drafts = list[Draft]


class LocalObjects:
    """The objects in `folder`. Safe for several threads and processes; needs no lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = os.fspath(folder)
        self._drafts = f"{self._prefix}/{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        self._numbers = itertools.count()

    def path(self, name: str) -> Path:
        """Where an object lies."""
        return Path(self._place(name))

    def _place(self, name: str) -> str:
        """Where an object lies, as text: a path object takes longer than its stat."""
        return f"{self._prefix}/{name[:2]}/{name}"

    def has(self, sizes: Mapping[str, int | None]) -> set[str]:
        """See `Objects.has`."""
        found = set()
        for name, size in sizes.items():
            try:
                actual = os.stat(self._place(name)).st_size
            except OSError:
                continue
            if size is None or actual == size:
                found.add(name)
        return found

    def open(self, name: str) -> BinaryIO:
        """Opens one object.

        Raises:
            OSError: It cannot be read.
        """
        return open(self._place(name), "rb")

    def fetch(self, names: Iterable[str]) -> Iterator[tuple[str, BinaryIO]]:
        """See `Objects.fetch`."""
        for name in names:
            with suppress(FileNotFoundError):
                yield name, self.open(name)

    def put(self, objects: Iterable[tuple[str, BinaryIO]]) -> set[str]:
        """See `Objects.put`."""
        refused = set()
        with self.entering() as drafts:
            for name, stream in objects:
                with stream:
                    draft = self.draft(stream, drafts)
                if draft.name != name:
                    refused.add(name)
                    drafts.remove(draft)
                    os.unlink(draft.path)
        return refused

    def remove(self, names: Iterable[str]) -> None:
        """See `Objects.remove`."""
        for name in names:
            with suppress(FileNotFoundError):
                self.path(name).unlink()

    def list(self) -> Iterator[File]:
        """See `Objects.list`."""
        for shard in entries(self._folder):
            if shard.name.startswith(".") or not shard.is_dir(follow_symlinks=False):
                continue
            for entry in entries(shard):
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # Collected by another process a moment ago.
                yield File(entry.name, found.st_size, found.st_mtime_ns, found.st_ino)

    def take_out(self, file: File) -> bool:
        """Removes a file, if it is still the one that was listed.

        Raises:
            OSError: It cannot be removed.
        """
        path = self.path(file.name)
        aside = self._folder / f"{TEMPORARY}gone-{os.getpid()}-{file.name}"
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

    def temporaries(self) -> Iterator[Path]:
        """The files that have no name yet, those of killed builds among them."""
        return self._folder.glob(f"{TEMPORARY}*")

    @contextmanager
    def entering(self) -> Iterator[Drafts]:
        """Takes in the drafts that its block makes, all of them, where it ends well.

        What is new is written, all of it, before the first file is flushed to the disk and gets its
        name. A file that is there already is read and compared, never trusted.
        """
        if not os.path.isdir(self._prefix):
            self._folder.mkdir(parents=True, exist_ok=True)
        drafts: Drafts = []
        try:
            yield drafts
            fresh = [draft for draft in drafts if not self._keeps(draft.name)]
            for draft in fresh:
                self._settle(draft.path)
            for draft in fresh:
                self._enter(draft.path, draft.name)
        finally:
            for draft in drafts:
                with suppress(FileNotFoundError):
                    os.unlink(draft.path)

    def draft(self, source: Path | BinaryIO, drafts: Drafts, *, move: bool = False) -> Draft:
        """Writes an object under a temporary name.

        Args:
            source: A file, or a stream.
            drafts: What `entering` gave; it grows.
            move: Whether the file may go from where it is.
        """
        draft = Draft(f"{self._drafts}-{next(self._numbers)}")
        drafts.append(draft)
        if not isinstance(source, Path):
            draft.size, draft.name = _copied(source, draft.path)
        elif move and _moved(source, draft.path):
            with open(draft.path, "rb", buffering=0) as reader:
                draft.name = hashlib.file_digest(reader, "sha256").hexdigest()
                draft.size = os.fstat(reader.fileno()).st_size
        else:
            with open(source, "rb") as reader:
                draft.size, draft.name = _copied(reader, draft.path)
        return draft

    def _keeps(self, name: str) -> bool:
        """Whether the very bytes are there already; they count as new from now on.

        A collection keeps what is younger than a running build.
        """
        path = self._place(name)
        try:
            os.utime(path)
            if not stat.S_ISREG(os.stat(path).st_mode):
                return False
            with open(path, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == name
        except OSError:
            return False

    @staticmethod
    def _settle(temporary: str) -> None:
        """Makes a file read-only and flushes it to the disk before it gets its name."""
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _enter(self, temporary: str, name: str) -> None:
        """Gives a finished file its name, in the place of a bad one that has it."""
        target = self._place(name)
        try:
            os.rename(temporary, target)
        except FileNotFoundError:  # The first one whose digest begins like this.
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(temporary, target)


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What a folder holds, by name; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _copied(reader: BinaryIO, target: str) -> tuple[int, str]:
    """Copies to a new file; gives the size in bytes and the SHA-256 in hexadecimal."""
    hasher = hashlib.sha256()
    size = 0
    with open(target, "xb", opener=_private) as writer:
        while chunk := reader.read(CHUNK):
            hasher.update(chunk)
            writer.write(chunk)
            size += len(chunk)
    return size, hasher.hexdigest()


def _moved(source: Path, target: str) -> bool:
    """Gives a file another name, where it is ours and has no other one.

    A step may have given it any time; here ages count from when a file came.
    """
    status = os.lstat(source)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
        return False
    try:
        os.utime(source)  # Before it can be taken for what a killed build left long ago.
        os.rename(source, target)
    except OSError:  # On another file system, for example.
        return False
    return True


def _private(path: str, flags: int) -> int:
    """Opens a file that nobody else reads until it has its name."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
