"""Digests by stat: an unchanged file is not read, a changed one always is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from buildsys.store import Index, Memo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"hello")
    return path


def fresh(tmp_path: Path) -> Memo:
    return Memo(Index(tmp_path / "store"))


def test_a_settled_file_is_hashed_once(tmp_path: Path, file: Path) -> None:
    time.sleep(0.1)
    memo = fresh(tmp_path)
    first = memo.digest(file)
    memo.save()
    assert memo.hashed_bytes == 5
    again = fresh(tmp_path)
    assert again.digest(file) == first
    assert again.hashed_bytes == 0


def test_a_young_file_is_hashed_each_time_until_it_has_settled(tmp_path: Path, file: Path) -> None:
    memo = fresh(tmp_path)
    file.write_bytes(b"hello")
    memo.digest(file)
    memo.digest(file)
    assert memo.hashed_bytes == 10


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path: Path, file: Path) -> None:
    """The time of change cannot be set back by a program, so it counts as well."""
    time.sleep(0.1)
    memo = fresh(tmp_path)
    first = memo.digest(file)
    memo.save()
    status = file.stat()
    file.write_bytes(b"HELLO")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fresh(tmp_path).digest(file) != first


def test_a_file_with_whole_seconds_needs_two_of_them_to_settle(tmp_path: Path, file: Path) -> None:
    now = time.time_ns() // 1_000_000_000 * 1_000_000_000
    os.utime(file, ns=(now, now))
    time.sleep(0.1)
    memo = fresh(tmp_path)
    memo.digest(file)
    memo.save()
    again = fresh(tmp_path)
    again.digest(file)
    assert again.hashed_bytes == 5


def test_a_file_of_the_future_is_never_settled(tmp_path: Path, file: Path) -> None:
    future = time.time_ns() + 3_600_000_000_123
    os.utime(file, ns=(future, future))
    memo = fresh(tmp_path)
    memo.digest(file)
    memo.save()
    again = fresh(tmp_path)
    again.digest(file)
    assert again.hashed_bytes == 5


def test_what_does_not_exist_has_no_digest(tmp_path: Path) -> None:
    memo = fresh(tmp_path)
    assert memo.digest(tmp_path / "nothing") is None
    assert memo.tree(tmp_path / "nothing") is None


def test_a_young_file_is_steady_once_it_was_hashed_again_and_was_the_same(
    tmp_path: Path, file: Path
) -> None:
    memo = fresh(tmp_path)
    file.write_bytes(b"hello")
    memo.digest(file)
    assert not memo.steady(str(file))
    memo.save()
    assert memo.steady(str(file))
    file.write_bytes(b"HELLO")
    memo.digest(file)
    memo.save()
    assert not memo.steady(str(file))
    assert not memo.steady(str(tmp_path))


def test_a_file_that_was_known_and_changed_between_two_looks_is_not_steady(
    tmp_path: Path, file: Path
) -> None:
    time.sleep(0.1)
    known = fresh(tmp_path)
    known.digest(file)
    known.save()
    memo = fresh(tmp_path)
    memo.digest(file)
    assert memo.steady(str(file))
    file.write_bytes(b"HELLO")
    memo.digest(file)
    time.sleep(0.1)
    memo.digest(file)
    assert not memo.steady(str(file))
