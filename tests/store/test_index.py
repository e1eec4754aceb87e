"""The index: what it forgets costs a rebuild, never an error."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from buildsys.store import DamagedIndex, Index, Stored, StoreError, Trace

RECORD = '{"inputs": {}, "rule": "r"}'
TRACE = Trace("k", RECORD, {"o": Stored("sha256:1", 3)}, ("n",), 1.5, 7)


def as_written(trace: Trace | None) -> Trace:
    """A trace without the time at which it was written."""
    assert trace is not None
    return replace(trace, used=0.0)


def test_a_trace_comes_back_as_it_was(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.record(TRACE, "shape", ["slot"], None, None)
    index.close()
    again = Index(tmp_path)
    assert as_written(again.trace("k")) == TRACE
    known = again.known("slot")
    assert known.keys == {}
    assert known.traces == {}
    again.record(TRACE, "shape", ["toy:slot"], None, None)
    known = again.known("toy")
    assert known.keys == {"toy:slot": ("k", None)}
    assert as_written(known.traces["k"]) == TRACE
    assert again.has_shape("shape")
    assert not again.has_shape("other")


def test_history_is_only_written_where_it_is_not_up_to_date(tmp_path: Path) -> None:
    index = Index(tmp_path)
    for key in ("1", "2"):
        trace = Trace(key, RECORD, {}, (), 1.0, 0)
        index.record(trace, "shape", [f"toy:{key}"], None, None)
    before = index.statements
    index.note(index.known("toy"), [(["toy:1"], "1"), (["toy:2"], "2")])
    assert index.statements == before + 1
    index.note(index.known("toy"), [(["toy:1"], "2")])
    assert index.known("toy").keys["toy:1"] == ("2", "1")


def test_a_use_is_written_once_a_day(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.record(TRACE, "shape", ["toy:slot"], None, None)
    (trace,) = index.all_traces()
    before = index.statements
    index.touch([trace])
    assert index.statements == before
    index.touch([replace(trace, used=trace.used - 2 * 86_400)])
    assert index.statements == before + 1


def test_pins_of_places_that_are_spoken_of_change_and_others_stay(tmp_path: Path) -> None:
    index = Index(tmp_path)
    places = {"artifacts:/a:deploy.yaml:x", "artifacts:/a:deploy.yaml:y"}
    prefix = "artifacts:/a:deploy.yaml:"
    index.pin(prefix, places, {f"{prefix}x": {"1"}, f"{prefix}y": {"2"}})
    index.pin("artifacts:/b:deploy.yaml:", {"artifacts:/b:deploy.yaml:x"}, {})
    index.pin(prefix, places, {f"{prefix}x": {"3"}})
    assert index.pins() == {f"{prefix}x": {"3"}, f"{prefix}y": {"2"}}
    before = index.statements
    index.pin(prefix, places, {f"{prefix}x": {"3"}})
    assert index.statements == before + 1
    index.pin(prefix, {f"{prefix}y"}, {})
    assert index.pins() == {f"{prefix}y": {"2"}}


def test_every_truncation_of_the_file_opens_and_is_empty_or_whole(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.record(TRACE, "shape", ["slot"], None, None)
    index.close()
    path = tmp_path / "index.sqlite"
    whole = path.read_bytes()
    for length in [*range(0, 120), *range(120, len(whole), 997)]:
        path.write_bytes(whole[:length])
        opened = Index(tmp_path)
        assert (opened.damage is None) == (length == 0)
        opened.record(TRACE, "shape", ["slot"], None, None)
        assert as_written(opened.trace("k")) == TRACE
        opened.close()


def damaged_files(whole: bytes) -> Iterator[bytes]:
    """A file that was cut off, that has lost a sector when the power went, that has rotten bits."""
    for length in range(0, len(whole), 1021):
        yield whole[:length]
    for start in range(0, len(whole), 1024):
        yield whole[:start] + bytes(512) + whole[start + 512 :]
    random = Random(7)
    for _ in range(100):
        rotten = bytearray(whole)
        for _ in range(8):
            rotten[random.randrange(len(rotten))] ^= 1 << random.randrange(8)
        yield bytes(rotten)


def number_of(trace: Trace) -> str:
    return f"{trace.key} {trace.record} {trace.outputs} {trace.notes}"


def test_a_damaged_file_never_gives_what_was_not_written(tmp_path: Path) -> None:
    """SQLite puts new rows over those that it does not see any more: one gave another's outputs."""
    traces = [
        Trace(
            f"{n:064}",
            json.dumps({"rule": "r", "n": n}),
            {"o": Stored(f"sha256:{n:064}", n)},
            (),
            1.0,
            0,
        )
        for n in range(48)
    ]
    rows = [(f"/p/{n}", n, n, n, n, f"sha256:{n:064}") for n in range(48)]
    written = {number_of(trace) for trace in traces}
    index = Index(tmp_path)
    for number in range(0, 48, 2):
        index.record(traces[number], "shape", [f"toy:{number}"], None, None)
    index.memo_write(rows[::2])
    index.close()
    path = tmp_path / "index.sqlite"
    seen = 0
    for data in damaged_files(path.read_bytes()):
        path.write_bytes(data)
        index = Index(tmp_path)
        seen += index.damage is not None
        for begin in (0, 1):
            try:
                for number in range(begin, 48, 2):
                    index.record(traces[number], "shape", [f"toy:{number}"], None, None)
                index.memo_write(rows[begin::2])
                read = [*index.all_traces(), *index.known("toy").traces.values()]
                memo = index.memo_below(["/p"])
            except DamagedIndex:
                seen += 1
                index = Index(tmp_path)
                continue
            assert {number_of(trace) for trace in read} <= written
            assert {(name, *row) for name, row in memo.items()} <= set(rows)
        index.close()
        for other in tmp_path.glob("index.sqlite-*"):
            other.unlink()
    assert seen > 100


def test_a_newer_schema_is_refused_with_a_hint(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index._connection.execute("pragma user_version = 99")
    index.close()
    with pytest.raises(StoreError, match="newer modelbuild") as caught:
        Index(tmp_path)
    assert caught.value.hint is not None


@pytest.mark.parametrize("message", ["locking protocol", "interrupted", "database is locked"])
def test_what_is_not_damage_removes_nothing(tmp_path: Path, message: str) -> None:
    index = Index(tmp_path)
    refusal = index._refusal(sqlite3.OperationalError(message))
    assert isinstance(refusal, StoreError)
    assert (tmp_path / "index.sqlite").exists()
    index.close()
    with pytest.raises(sqlite3.ProgrammingError):
        index.builds()
    assert (tmp_path / "index.sqlite").exists()


def test_a_damaged_file_that_somebody_has_made_anew_stays(tmp_path: Path) -> None:
    index = Index(tmp_path)
    path = tmp_path / "index.sqlite"
    kept = path.with_name("kept")  # Holds the inode, so that the new file gets another.
    kept.hardlink_to(path)
    path.unlink()
    Index(tmp_path).close()
    refusal = index._refusal(sqlite3.DatabaseError("no such table: trace"))
    assert isinstance(refusal, DamagedIndex)
    assert path.exists()


def test_memo_rows_of_a_folder_come_in_one_statement(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.memo_write([(f"/p/{n}", 1, 2, 3, n, "d") for n in range(9)] + [("/p0", 1, 2, 3, 4, "d")])
    before = index.statements
    assert set(index.memo_below(["/p"])) == {f"/p/{n}" for n in range(9)}
    assert index.statements == before + 1
    assert index.memo_of("/p0") == (1, 2, 3, 4, "d")
    index.memo_forget(lambda path: path != "/p/3")
    assert set(index.memo_below(["/p"])) == {"/p/3"}
    assert index.memo_of("/p0") is None
