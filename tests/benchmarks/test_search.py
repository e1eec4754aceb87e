"""The record of searches holds what is claimed, and the table of docs/search.md says it."""

from __future__ import annotations

import copy
import json
from typing import Any

from benchmarks.search import __main__ as program
from benchmarks.search.document import DOCUMENT, PART, RESULTS, document, holds

RECORD: dict[str, Any] = json.loads(RESULTS.read_text())


def test_the_table_is_of_the_record() -> None:
    text = DOCUMENT.read_text()
    emptied = PART.sub(lambda found: found[1] + found[2], text)
    assert emptied != text
    assert document(emptied, RECORD) == text


def test_what_is_claimed_holds() -> None:
    labels = [row["label"] for row in RECORD["searches"]]
    assert len(labels) == 4
    assert labels[-1] == f"server/{program.ARCHITECTURE}.onnx-{program.NAME}"
    assert all(holds(row) for row in RECORD["searches"])
    for row in RECORD["searches"]:
        passed = [each for each in row["by_hand"] if each["status"] == "passed"]
        assert row["best"]["bytes"] == min(each["bytes"] for each in passed)
        assert row["size_ratio"] == round(row["found"]["bytes"] / row["best"]["bytes"], 4)
        assert row["built_ratio"] == round(row["built"] / len(row["by_hand"]), 4)


def test_what_does_not_hold_is_found() -> None:
    row = copy.deepcopy(RECORD["searches"][0])
    assert holds(row | {"size_ratio": 1.1})
    assert not holds(row | {"size_ratio": 1.1001})
    assert not holds(row | {"built_ratio": 0.5})
