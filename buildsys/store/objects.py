"""What a place for objects must do: a folder of this machine, a bucket, or a test's dictionary.

An object is a sequence of bytes named by its SHA-256 in hexadecimal. A file is one object. A folder is
one for its manifest and one for each file. A place knows neither digests with prefixes nor folders.

Every call takes many objects, because a call may be a round trip. The bytes that a place gives are
hostile until a digest says otherwise: whoever takes them hashes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class Listed:
    """An object as it was listed.

    Attributes:
        name: The digest of its bytes, in hexadecimal.
        size: Bytes.
        mtime_ns: When it was last put (POSIX nanoseconds).
    """

    name: str
    size: int
    mtime_ns: int


class Objects(Protocol):
    """A place for objects; safe for several threads and processes.

    A call raises `OSError` where the place cannot be reached, read or written.
    """

    def has(self, sizes: Mapping[str, int | None]) -> set[str]:
        """Which objects are there, with the given size in bytes; `None` stands for any size."""
        ...

    def fetch(self, names: Iterable[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Opens objects, in any order. Those that are not there are left out.

        The caller closes each stream, and must not trust its bytes.
        """
        ...

    def put(self, objects: Iterable[tuple[str, BinaryIO]]) -> set[str]:
        """Takes objects in and closes their streams; each appears whole or not at all.

        Returns:
            The names of those whose bytes are not what the name says. They are not kept.
        """
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Takes objects out; those that are not there do not matter."""
        ...

    def list(self) -> Iterator[Listed]:
        """Every object."""
        ...
