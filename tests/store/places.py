"""A place for objects in memory: as unlike a folder as can be, and watched."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from buildsys.store.objects import Listed


class MemoryObjects:
    """Objects in a dictionary.

    Attributes:
        contents: Name to bytes; a test may put anything there.
        calls: The calls that were made: each would be a round trip.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.calls: list[str] = []
        self._times: dict[str, int] = {}

    def has(self, sizes: Mapping[str, int | None]) -> set[str]:
        self.calls.append("has")
        return {
            name
            for name, size in sizes.items()
            if name in self.contents and size in (None, len(self.contents[name]))
        }

    def fetch(self, names: Iterable[str]) -> Iterator[tuple[str, BinaryIO]]:
        self.calls.append("fetch")
        # Not in the order that was asked for: a bucket's answers come as they like.
        for name in sorted(set(names), reverse=True):
            if name in self.contents:
                yield name, io.BytesIO(self.contents[name])

    def put(self, objects: Iterable[tuple[str, BinaryIO]]) -> set[str]:
        self.calls.append("put")
        refused = set()
        for name, stream in objects:
            with stream:
                data = stream.read()
            if hashlib.sha256(data).hexdigest() == name:
                self.contents[name] = data
                self._times[name] = time.time_ns()
            else:
                refused.add(name)
        return refused

    def remove(self, names: Iterable[str]) -> None:
        self.calls.append("remove")
        for name in names:
            self.contents.pop(name, None)

    def list(self) -> Iterator[Listed]:
        self.calls.append("list")
        for name, data in self.contents.items():
            yield Listed(name, len(data), self._times.get(name, 0))
