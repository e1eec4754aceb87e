"""Content-addressed files: what goes in is hashed while it is written, what comes out is hashed again.

A file lives at `files/<first two hex>/<sha256>`, read-only. A folder is a *tree*: a small canonical
JSON manifest of its files, stored as a file of its own, whose digest is the folder's.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import itertools
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

CHUNK = 1 << 20
RESUME = "resume"
"""The folder below the store's with what interrupted steps have left, by key."""
FICLONE = 0x40049409
FILE, TREE = "sha256:", "tree:"
MEMBER = re.compile(r"sha256:[0-9a-f]{64}")


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


@dataclass
class _Draft:
    """A file that has no name in the store yet."""

    path: str
    digest: str = ""


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


def hash_file(path: Path) -> str:
    """The `sha256:…` digest of a file's bytes.

    Raises:
        OSError: It cannot be read, or is no regular file: a device has no end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
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


def tree_manifest(rows: list[tuple[str, str, int]]) -> bytes:
    """The canonical bytes that a tree's digest is taken of: (posix path, file digest, size)."""
    return json.dumps(sorted(rows), separators=(",", ":"), ensure_ascii=False).encode()


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
    """The files below `root`. Safe for several threads and processes; needs no lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = root / "files"
        self._prefix = os.path.join(root, "files")  # A path object takes longer than its stat.
        self._drafts = f"{self._prefix}/.put-{os.getpid()}-{secrets.token_hex(8)}"
        self._numbers = itertools.count()

    def path(self, digest: str) -> Path:
        """Where the file, or the manifest of the tree, lies."""
        hexadecimal = digest.partition(":")[2]
        return self._files / hexadecimal[:2] / hexadecimal

    def has(self, digest: str, size: int) -> bool:
        """Whether the object is there with the right size; its bytes are checked when it leaves."""
        try:
            if digest.startswith(TREE):
                rows = json.loads(self.path(digest).read_bytes())
                return all(self._fits(d, s) for _, d, s in rows)
            return self._fits(digest, size)
        except (OSError, ValueError, TypeError, AttributeError):
            return False

    def _fits(self, digest: str, size: int) -> bool:
        hexadecimal = digest.partition(":")[2]
        try:
            return os.stat(f"{self._prefix}/{hexadecimal[:2]}/{hexadecimal}").st_size == size
        except OSError:
            return False

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
        drafts: list[_Draft] = []
        with writing(self.root):
            self._files.mkdir(parents=True, exist_ok=True)
            try:
                stored = [self._write(path, drafts, move) for path in paths]
                fresh = [draft for draft in drafts if not self._keeps(draft.digest)]
                for draft in fresh:
                    self._settle(draft.path)
                for draft in fresh:
                    self._enter(draft.path, draft.digest)
            finally:
                for draft in drafts:
                    with suppress(FileNotFoundError):
                        os.unlink(draft.path)
        return stored

    def _write(self, path: Path, drafts: list[_Draft], move: bool) -> Stored:
        """Writes a file or a folder under temporary names, the manifest of a folder last."""
        if not path.is_dir():
            return self._draft(path, drafts, move)
        rows = []
        for name, file in tree_files(path):
            stored = self._draft(file, drafts, move)
            rows.append((name, stored.digest, stored.size))
        manifest = self._draft(tree_manifest(rows), drafts)
        return Stored(manifest.digest, sum(size for _, _, size in rows))

    def _draft(self, source: Path | bytes, drafts: list[_Draft], move: bool = False) -> Stored:
        draft = _Draft(f"{self._drafts}-{next(self._numbers)}")
        drafts.append(draft)
        if isinstance(source, bytes):
            size, hexadecimal = _copied(io.BytesIO(source), draft.path)
            draft.digest = TREE + hexadecimal
            return Stored(draft.digest, size)
        if move and _moved(source, draft.path):
            with open(draft.path, "rb", buffering=0) as reader:
                hexadecimal = hashlib.file_digest(reader, "sha256").hexdigest()
                size = os.fstat(reader.fileno()).st_size
        else:
            with source.open("rb") as reader:
                size, hexadecimal = _copied(reader, draft.path)
        draft.digest = FILE + hexadecimal
        return Stored(draft.digest, size)

    def _keeps(self, digest: str) -> bool:
        """Whether the very bytes are there already; they count as new from now on.

        A collection keeps what is younger than a running build.
        """
        path = self.path(digest)
        try:
            os.utime(path)
            return hash_file(path).partition(":")[2] == digest.partition(":")[2]
        except OSError:
            return False

    @staticmethod
    def _settle(temporary: str) -> None:
        """Makes a file read-only, and has it on the disk before it gets its name."""
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _enter(self, temporary: str, digest: str) -> None:
        """Gives a finished file its name, in the place of a bad one that has it."""
        target = self.path(digest)
        try:
            os.rename(temporary, target)
        except FileNotFoundError:  # The first one whose digest begins like this.
            target.parent.mkdir(exist_ok=True)
            os.rename(temporary, target)

    def read(self, digest: str) -> bytes:
        """The bytes of a small stored file, checked.

        Raises:
            CorruptObject: It is missing or altered.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise CorruptObject(digest, "missing") from error
        if hashlib.sha256(data).hexdigest() != digest.partition(":")[2]:
            self.discard(digest)
            raise CorruptObject(digest, "its bytes have changed")
        return data

    def rows(self, digest: str) -> list[tuple[str, str, int]]:
        """The files of a tree: (posix path, digest, size).

        Raises:
            CorruptObject: The manifest is missing, altered, or names a path outside the folder.
        """
        try:
            rows = [(str(n), str(d), int(s)) for n, d, s in json.loads(self.read(digest))]
        except (ValueError, TypeError) as error:
            self.discard(digest)
            raise CorruptObject(digest, "is no list of files") from error
        for name, member, _ in rows:
            parts = PurePosixPath(name).parts
            if not parts or name.startswith("/") or ".." in parts:
                self.discard(digest)
                raise CorruptObject(digest, f"names a path outside of its folder: {name}")
            if not MEMBER.fullmatch(member):
                self.discard(digest)
                raise CorruptObject(digest, f"names no digest: {member}")
        return rows

    def restore(self, digest: str, target: Path, *, writable: bool = True) -> None:
        """Copies an object out to `target`, which must not exist, and checks every byte.

        Blocks are shared where the file system can; never a hard link, through which an edit of
        the copy would reach the store.

        Raises:
            CorruptObject: The object is missing or altered; the bad file is taken out.
            StoreError: The target cannot be written.
        """
        with writing(target):
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
            reader = self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise CorruptObject(digest, "missing") from error
        hasher = hashlib.sha256()
        with reader, target.open("xb") as writer:
            if clone(reader.fileno(), writer.fileno()):
                while chunk := reader.read(CHUNK):
                    hasher.update(chunk)
            else:
                while chunk := reader.read(CHUNK):
                    hasher.update(chunk)
                    writer.write(chunk)
        if FILE + hasher.hexdigest() != digest:
            target.unlink()
            self.discard(digest)
            raise CorruptObject(digest, "its bytes have changed")
        target.chmod(0o644 if writable else 0o444)

    def discard(self, digest: str) -> None:
        """Takes a bad object out, so that its maker is run again."""
        with suppress(FileNotFoundError):
            self.path(digest).unlink()

    def sweep(self, older_than: float) -> None:
        """Removes what killed builds and failed steps left, by modification time (POSIX seconds)."""
        folders = (*(self.root / "work").glob("*"), *(self.root / RESUME).glob("*"))
        for path in (*self._files.glob(".put-*"), *folders):
            with suppress(OSError):
                if path.lstat().st_mtime >= older_than:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
