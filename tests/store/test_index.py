"""The index: what it forgets costs a rebuild, never an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.store import Index, Stored, StoreError, Trace

TRACE = Trace("k", {"rule": "r", "inputs": {}}, {"o": Stored("sha256:1", 3)}, ("n",), 1.5, 7)


def test_a_trace_comes_back_as_it_was(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.record(TRACE, "shape", ["slot"], None, None)
    index.close()
    again = Index(tmp_path)
    assert again.trace("k") == TRACE
    assert again.last_key(["slot"]) == "k"
    assert again.has_shape("shape")
    assert not again.has_shape("other")


def test_history_is_only_written_where_it_is_not_up_to_date(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.note([(["a"], "1"), (["b"], "2")])
    before = index.statements
    index.note([(["a"], "1"), (["b"], "2")])
    assert index.statements == before + 1


def test_every_truncation_of_the_file_opens_and_is_empty_or_whole(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.record(TRACE, "shape", ["slot"], None, None)
    index.close()
    path = tmp_path / "index.sqlite"
    whole = path.read_bytes()
    for length in [*range(0, 120), *range(120, len(whole), 997)]:
        path.write_bytes(whole[:length])
        opened = Index(tmp_path)
        opened.record(TRACE, "shape", ["slot"], None, None)
        assert opened.trace("k") == TRACE
        opened.close()


def test_a_newer_schema_is_refused_with_a_hint(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index._connection.execute("pragma user_version = 99")
    index.close()
    with pytest.raises(StoreError, match="newer modelbuild") as caught:
        Index(tmp_path)
    assert caught.value.hint is not None
