"""Content-addressed files: what goes in is hashed while it is written, what comes out is hashed again.

A file is one object of the folder `files` (see `local`). A folder is a *tree*: a small canonical JSON
manifest of its files, stored as an object of its own, whose digest is the folder's.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from buildsys.store.local import CHUNK, Drafts, LocalObjects

RESUME = "resume"
"""The folder below the store's with what interrupted steps have left, by key."""
FICLONE = 0x40049409
FILE, TREE = "sha256:", "tree:"
MEMBER = re.compile(r"sha256:[0-9a-f]{64}")
Rows = list[tuple[str, str, int]]
"""The files of a folder: (posix path, digest, size)."""


class StoreError(Exception):
    """The store cannot be read or written (no space, no permission). Exit status 5."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CorruptObject(Exception):
    """A stored object is missing or is not what its name says.

    Attributes:
        digest: The object that was asked for. It has been taken out of the store.
    """

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(f"{digest}: {reason}")
        self.digest = digest
        self.reason = reason


@dataclass(frozen=True)
class Stored:
    """What `put` gives: the digest (`sha256:…` or `tree:…`) and the size of all files in bytes."""

    digest: str
    size: int


WRITABLE = "choose a folder that you may write: `--out`, or MODELBUILD_CACHE for the store"


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Turns the operating system's refusals into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: "free some disk space, or point MODELBUILD_CACHE at a larger disk",
            errno.EDQUOT: "your disk quota is used up: point MODELBUILD_CACHE elsewhere",
            errno.EFBIG: "a file size limit (`ulimit -f`) is in force: raise it",
            errno.EROFS: WRITABLE,
            errno.EACCES: WRITABLE,
            errno.EPERM: WRITABLE,
            errno.ENOTDIR: WRITABLE,
        }
        if error.errno not in hints:
            raise
        raise StoreError(f"cannot write {what}: {error.strerror}", hints[error.errno]) from error


def hash_file(path: Path) -> str:
    """The `sha256:…` digest of a file's bytes.

    Raises:
        OSError: It cannot be read, or is not a regular file: a device has no end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with path.open("rb") as stream:
        return FILE + hashlib.file_digest(stream, "sha256").hexdigest()


def tree_files(folder: Path, *, links: bool = False) -> list[tuple[str, Path]]:
    """All files below a folder as (posix path, path), sorted by path.

    Args:
        folder: The folder.
        links: Whether links to files are followed, as for a user's own data. Links to folders, and
            every link in an artifact, are refused.

    Raises:
        StoreError: There is a link that is refused.
    """
    rows = []
    for root, directories, names in os.walk(folder):
        for name in directories if links else (*directories, *names):
            if Path(root, name).is_symlink():
                raise StoreError(f"{Path(root, name)} is a link", "put the files themselves there")
        rows += [(Path(root, n).relative_to(folder).as_posix(), Path(root, n)) for n in names]
    return sorted(rows)


def tree_manifest(rows: Rows) -> bytes:
    """The canonical bytes that a tree's digest is taken of: (posix path, file digest, size)."""
    return json.dumps(sorted(rows), separators=(",", ":"), ensure_ascii=False).encode()


def parsed(digest: str, manifest: bytes) -> Rows:
    """The rows of a manifest whose bytes have the digest.

    Raises:
        CorruptObject: It is not a list of files, or names a path outside the folder.
    """
    try:
        rows = [(str(n), str(d), int(s)) for n, d, s in json.loads(manifest)]
    except (ValueError, TypeError) as error:
        raise CorruptObject(digest, "is not a list of files") from error
    for name, member, _ in rows:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise CorruptObject(digest, f"names a path outside of its folder: {name}")
        if not MEMBER.fullmatch(member):
            raise CorruptObject(digest, f"names no digest: {member}")
    return rows


def named(digest: str) -> str:
    """The name of a digest's object: without the prefix."""
    return digest.partition(":")[2]


def tree_digest(manifest: bytes) -> str:
    """The `tree:…` digest of a manifest."""
    return TREE + hashlib.sha256(manifest).hexdigest()


def clone(source: int, target: int) -> bool:
    """Shares a file's blocks with another (`FICLONE`), where the file system can."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


class Store:
    """The files below `root`. Safe for several threads and processes; needs no lock.

    Attributes:
        root: The store's folder.
        objects: Where its objects lie. Only the store itself asks it for a path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = LocalObjects(root / "files")

    def missing(self, objects: Iterable[Stored]) -> set[Stored]:
        """Which objects are not there with the right size; bytes are checked when they leave."""
        absent: set[Stored] = set()
        needed: list[tuple[Stored, Mapping[str, int]]] = []
        for each in objects:
            if not each.digest.startswith(TREE):
                needed.append((each, {named(each.digest): each.size}))
            elif (members := self.members(each.digest)) is not None:
                needed.append((each, dict(members)))
            else:
                absent.add(each)
        there = self.objects.has({n: s for _, sizes in needed for n, s in sizes.items()})
        return absent.union(each for each, sizes in needed if not sizes.keys() <= there)

    def members(self, digest: str) -> list[tuple[str, int]] | None:
        """The objects that a tree's manifest names, with their sizes; `None` where it is of no use.

        The manifest is not checked, for a look must not change anything.
        """
        try:
            with self.objects.open(named(digest)) as stream:
                return [(named(member), size) for _, member, size in json.loads(stream.read())]
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def evidence(self, digests: Iterable[str]) -> Iterator[str]:
        """The files whose stats show that objects are what they were.

        Raises:
            CorruptObject: See `rows`.
        """
        for digest in digests:
            yield str(self.objects.path(named(digest)))
            if digest.startswith(TREE):
                for _, member, _ in self.rows(digest):
                    yield str(self.objects.path(named(member)))

    def put(self, path: Path) -> Stored:
        """Takes a file or a folder in.

        Raises:
            StoreError: The store cannot be written; nothing is left half-written.
        """
        return self.put_all([path])[0]

    def put_all(self, paths: Sequence[Path], *, move: bool = False) -> list[Stored]:
        """Takes several files or folders in; what a step made.

        A file that is there already is read and compared, never trusted. What is new is written, all
        of it, before the first file is flushed to the disk and gets its name.

        Args:
            paths: What to take.
            move: Whether the files may go from where they are: nothing is copied where the file
                system can give them another name.

        Raises:
            StoreError: The store cannot be written; nothing is left half-written.
        """
        with writing(self.root), self.objects.entering() as drafts:
            return [self._write(path, drafts, move) for path in paths]

    def _write(self, path: Path, drafts: Drafts, move: bool) -> Stored:
        """Writes a file or a folder under temporary names, the manifest of a folder last."""
        if not path.is_dir():
            draft = self.objects.draft(path, drafts, move=move)
            return Stored(FILE + draft.name, draft.size)
        rows = []
        for name, file in tree_files(path):
            draft = self.objects.draft(file, drafts, move=move)
            rows.append((name, FILE + draft.name, draft.size))
        manifest = self.objects.draft(io.BytesIO(tree_manifest(rows)), drafts)
        return Stored(TREE + manifest.name, sum(size for _, _, size in rows))

    def read(self, digest: str) -> bytes:
        """The bytes of a small stored file, checked.

        Raises:
            CorruptObject: It is missing or altered.
        """
        try:
            with self.objects.open(named(digest)) as stream:
                data = stream.read()
        except OSError as error:
            raise CorruptObject(digest, "missing") from error
        if hashlib.sha256(data).hexdigest() != named(digest):
            self.discard(digest)
            raise CorruptObject(digest, "its bytes have changed")
        return data

    def rows(self, digest: str) -> Rows:
        """The files of a tree.

        Raises:
            CorruptObject: The manifest is missing, altered, or names a path outside the folder.
        """
        data = self.read(digest)
        try:
            return parsed(digest, data)
        except CorruptObject:
            self.discard(digest)
            raise

    def restore(self, digest: str, target: Path, *, writable: bool = True) -> None:
        """Copies an object out to `target`, which must not exist, and checks every byte.

        Blocks are shared where the file system can; never a hard link, through which an edit of
        the copy would reach the store.

        Raises:
            CorruptObject: The object is missing or altered; the bad file is taken out.
            StoreError: The target cannot be written.
        """
        with writing(target):
            if not os.path.isdir(os.path.dirname(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
            if digest.startswith(FILE):
                self._restore_file(digest, target, writable)
                return
            rows = self.rows(digest)
            target.mkdir()
            for name, file_digest, _ in rows:
                file = target / name
                file.parent.mkdir(parents=True, exist_ok=True)
                self._restore_file(file_digest, file, writable)

    def _restore_file(self, digest: str, target: Path, writable: bool) -> None:
        try:
            reader = self.objects.open(named(digest))
        except FileNotFoundError as error:
            raise CorruptObject(digest, "missing") from error
        hasher = hashlib.sha256()
        with reader, open(target, "xb") as writer:
            if clone(reader.fileno(), writer.fileno()):
                while chunk := reader.read(CHUNK):
                    hasher.update(chunk)
            else:
                while chunk := reader.read(CHUNK):
                    hasher.update(chunk)
                    writer.write(chunk)
            os.fchmod(writer.fileno(), 0o644 if writable else 0o444)
        if FILE + hasher.hexdigest() != digest:
            target.unlink()
            self.discard(digest)
            raise CorruptObject(digest, "its bytes have changed")

    def discard(self, digest: str) -> None:
        """Takes a bad object out, so that its maker is run again."""
        self.objects.remove([named(digest)])

    def sweep(self, older_than: float) -> None:
        """Removes what killed builds and failed steps left, by modification time (POSIX seconds)."""
        folders = (*(self.root / "work").glob("*"), *(self.root / RESUME).glob("*"))
        for path in (*self.objects.temporaries(), *folders):
            with suppress(OSError):
                if path.lstat().st_mtime >= older_than:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
