"""The tar archive of a bundle, in the one form that `bundle create` writes.

Its bytes follow from the files' names and bytes alone: one root folder, `SHA256SUMS`, `manifest.json`,
then all else sorted by name, each as a regular file of mode 0644 that belongs to root and was changed at
time 0. A reader therefore compares headers byte for byte with those that `bundle create` would have
written. What a tar archive could hold besides (links, devices, modes, second roots, repeated names, text
in unused fields) has no place to hide.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO

from buildsys.file_names import collisions
from buildsys.release.errors import BundleError
from buildsys.release.frame import Frame, compressed
from buildsys.terminal import is_plain

MODE = 0o644
SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
FIRST = (SUMS, MANIFEST)
"""They come first, so that a reader knows names, sizes and digests of all that follows."""
AGAIN = "`modelbuild bundle create` writes bundles in one form only: create it again"
_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_LARGEST_EXTENSION = 1 << 16
_PAX_PATH = re.compile(rb"^\d+ path=([^\n]*)\n", re.M)


def order(names: Mapping[str, object]) -> list[str]:
    """Names in the order in which an archive holds them."""
    return [*(n for n in FIRST if n in names), *sorted(names.keys() - set(FIRST), key=str.encode)]


def refuse_names(names: Mapping[str, object], where: str) -> None:
    """Refuses names that no bundle may hold.

    Raises:
        BundleError: A name leaves the bundle, holds control characters, or falls together with
            another one on some file system.
    """
    for name in names:
        if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name:
            raise _unfit(where, name, "it is not a plain path")
        if not is_plain(name):
            raise _unfit(where, name, "it has characters that do not print")
    for one, other in collisions(names):
        raise BundleError(
            f"{where} holds `{one}` and `{other}`, which are one path on some file systems",
            "rename one of them",
        )


def _unfit(where: str, name: str, why: str) -> BundleError:
    return BundleError(f"{where} holds `{name}`, which no bundle may hold: {why}")


def header(root: str, name: str, size: int) -> bytes:
    """The bytes before a file's own in the archive."""
    entry = tarfile.TarInfo(f"{root}/{name}")
    entry.size, entry.mode = size, MODE
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> int:
    """How many zeros follow a file of `size` bytes."""
    return -size % _BLOCK


def ending(length: int) -> int:
    """How many zeros end an archive whose files take `length` bytes."""
    return 2 * _BLOCK + -(length + 2 * _BLOCK) % _RECORD


def length(root: str, sizes: Mapping[str, int]) -> int:
    """The length of a whole archive in bytes."""
    files = sum(len(header(root, n, size)) + size + padding(size) for n, size in sizes.items())
    return files + ending(files)


def write(stream: IO[bytes], root: str, contents: Mapping[str, bytes]) -> None:
    """Writes an archive, compressed."""
    total = length(root, {name: len(data) for name, data in contents.items()})
    written = 0
    with compressed(stream, total) as packed:
        for name in order(contents):
            data = contents[name]
            for part in (header(root, name, len(data)), data, bytes(padding(len(data)))):
                packed.write(part)
                written += len(part)
        packed.write(bytes(total - written))


class Reader:
    """Reads an archive from its frame, entry by entry.

    Attributes:
        root: The folder that holds everything.
        name: The archive's name, for messages.
    """

    def __init__(self, frame: Frame, name: str) -> None:
        self.name = name
        self.root = ""
        self._frame = frame
        self._read: set[str] = set()

    def small(self, name: str, limit: int) -> bytes:
        """Reads an entry whose size is not known beforehand.

        Raises:
            BundleError: The next entry is another one, is not in form, or is larger than `limit`.
        """
        start, entry = self._entry(name)
        root, _, found = entry.name.partition("/")
        if found != name:
            raise self._misplaced(entry.name, name)
        if self._read and root != self.root:
            raise BundleError(f"{self.name} has two roots, `{self.root}` and `{root}`", AGAIN)
        self.root = root
        refuse_names({root: None}, self.name)
        if entry.size > limit:
            raise BundleError(f"{name} in {self.name} is larger than {limit} bytes")
        self._match(start, entry, name, entry.size)
        data = self._frame.read(entry.size)
        self._pad(name, entry.size)
        return data

    def chunks(self, name: str, size: int) -> Iterator[bytes]:
        """Reads the entry that has to follow, a piece at a time.

        Raises:
            BundleError: The next entry is another one, or is not in form.
        """
        expected = header(self.root, name, size)
        start = self._frame.read(min(len(expected), self._frame.left))
        if start != expected:
            start, entry = self._entry(name, start)
            if entry.name != f"{self.root}/{name}":
                raise self._misplaced(entry.name, name)
            self._match(start, entry, name, size)
        self._read.add(name)
        yield from self._frame.chunks(size)
        self._pad(name, size)

    def finish(self, total: int) -> None:
        """Checks that an archive of `total` bytes ends here.

        Raises:
            BundleError: Something follows the last entry, or the end is not in form.
        """
        left = self._frame.left
        end = total - (self._frame.size - left)
        zeros = self._frame.read(min(left, end))
        if zeros[:_BLOCK].strip(b"\0"):
            _, entry = self._entry("its end", zeros)
            raise self._misplaced(entry.name, None)
        if left != end or zeros.strip(b"\0"):
            raise BundleError(f"{self.name} does not end as `bundle create` ends it", AGAIN)
        self._frame.finish()

    def _entry(self, expected: str, start: bytes = b"") -> tuple[bytes, tarfile.TarInfo]:
        """The next header, with the extension before it, and what it says."""
        start += self._frame.read(max(0, _BLOCK - len(start)))
        if start[:_BLOCK] == tarfile.NUL * _BLOCK:
            raise BundleError(f"{expected} is missing from {self.name}")
        try:
            entry = tarfile.TarInfo.frombuf(start[:_BLOCK], "utf-8", "strict")
            if entry.type == tarfile.XHDTYPE:
                size = min(entry.size, _LARGEST_EXTENSION)
                size += padding(size)
                start += self._frame.read(max(0, size + 2 * _BLOCK - len(start)))
                found = _PAX_PATH.search(start[_BLOCK : _BLOCK + size])
                last = start[_BLOCK + size :][:_BLOCK]
                entry = tarfile.TarInfo.frombuf(last, "utf-8", "strict")
                entry.name = found[1].decode() if found else entry.name
        except (tarfile.TarError, ValueError) as error:
            raise BundleError(f"cannot read {self.name} at {expected}: {error}") from error
        return start, entry

    def _match(self, start: bytes, entry: tarfile.TarInfo, name: str, size: int) -> None:
        """Refuses a header that `bundle create` would not have written."""
        expected = header(self.root, name, size)
        if start == expected:
            self._read.add(name)
            return
        wrong = "its header is not as `bundle create` writes it"
        if not entry.isreg():
            wrong = "it is not a regular file"
        elif entry.size != size:
            wrong = f"it has {entry.size} bytes, and the manifest says {size}"
        elif entry.mode != MODE:
            wrong = f"its mode is {entry.mode:04o} instead of {MODE:04o}"
        elif (entry.uid, entry.gid, entry.uname, entry.gname) != (0, 0, "", ""):
            wrong = "it has an owner"
        elif entry.mtime:
            wrong = "it has a time"
        raise BundleError(f"{name} in {self.name} was altered: {wrong}", AGAIN)

    def _misplaced(self, found: str, expected: str | None) -> BundleError:
        root, _, inner = found.partition("/")
        if self.root and root != self.root:
            message = f"{self.name} holds `{found}`, which is outside of its root `{self.root}`"
        elif inner in self._read:
            message = f"{self.name} holds `{inner}` twice"
        elif expected is None:
            message = f"{inner} is in {self.name}, but not in its {SUMS}"
        else:
            message = f"{self.name} holds `{found}` where `{expected}` should be"
        return BundleError(message, AGAIN)

    def _pad(self, name: str, size: int) -> None:
        if self._frame.read(padding(size)).strip(b"\0"):
            raise BundleError(f"{name} in {self.name} was altered: bytes follow its end", AGAIN)
