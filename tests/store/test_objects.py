"""What every place for objects must do, asked of a folder and of a dictionary."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from buildsys.store.local import LocalObjects
from buildsys.store.objects import Objects
from tests.store.places import MemoryObjects


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(place: Objects, *contents: bytes) -> list[str]:
    assert place.put([(name_of(data), io.BytesIO(data)) for data in contents]) == set()
    return [name_of(data) for data in contents]


def fetched(place: Objects, names: Iterable[str]) -> dict[str, bytes]:
    found = {}
    for name, stream in place.fetch(names):
        with stream:
            assert name not in found
            found[name] = stream.read()
    return found


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return LocalObjects(tmp_path / "files") if request.param == "folder" else MemoryObjects()


def test_objects_come_back_as_they_were(place: Objects) -> None:
    one, empty = put(place, b"one", b"")
    assert fetched(place, [one, empty]) == {one: b"one", empty: b""}


def test_what_is_not_there_is_left_out(place: Objects) -> None:
    assert fetched(place, [name_of(b"none")]) == {}
    assert not list(place.list())
    place.remove([name_of(b"none")])
    (one,) = put(place, b"one")
    assert fetched(place, [name_of(b"none"), one]) == {one: b"one"}


def test_it_says_what_it_has_with_which_size(place: Objects) -> None:
    one, four = put(place, b"one", b"four")
    absent = name_of(b"none")
    assert place.has({one: 3, four: 3, absent: 4}) == {one}
    assert place.has({one: None, four: 4, absent: None}) == {one, four}
    assert place.has({}) == set()


def test_bytes_that_are_not_what_their_name_says_are_refused_and_the_others_kept(
    place: Objects,
) -> None:
    good, bad = name_of(b"good"), name_of(b"bad")
    assert place.put([(bad, io.BytesIO(b"evil")), (good, io.BytesIO(b"good"))]) == {bad}
    assert place.has({good: None, bad: None, name_of(b"evil"): None}) == {good}


def test_streams_that_were_given_are_closed(place: Objects) -> None:
    streams = [io.BytesIO(b"good"), io.BytesIO(b"evil")]
    place.put(zip([name_of(b"good"), name_of(b"bad")], streams, strict=True))
    assert all(stream.closed for stream in streams)


def test_nothing_is_kept_of_an_object_whose_stream_breaks(place: Objects) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError("the other side went away")

    with pytest.raises(OSError, match="went away"):
        place.put([(name_of(b"one"), Broken(b"one"))])
    assert not list(place.list())


def test_it_lists_names_sizes_and_times(place: Objects) -> None:
    before = time.time_ns()
    one, four = put(place, b"one", b"four")
    found = {each.name: each for each in place.list()}
    assert {name: each.size for name, each in found.items()} == {one: 3, four: 4}
    assert all(each.mtime_ns > before - 1_000_000_000 for each in found.values())


def test_what_is_removed_is_gone_and_may_come_again(place: Objects) -> None:
    one, four = put(place, b"one", b"four")
    place.remove([one, name_of(b"none")])
    assert place.has({one: None, four: None}) == {four}
    put(place, b"one", b"four")
    assert place.has({one: None, four: None}) == {one, four}


def test_one_place_takes_what_another_gives(place: Objects, tmp_path: Path) -> None:
    names = put(place, b"one", b"four")
    for other in (MemoryObjects(), LocalObjects(tmp_path / "other")):
        assert other.put(place.fetch(names)) == set()
        assert fetched(other, names) == {names[0]: b"one", names[1]: b"four"}
