"""The table of both exporters says what was found."""

from __future__ import annotations

import json

from benchmarks.exporters import document

GOOD = {"bytes": 100, "nodes": 10, "operators": 3, "cpu_ms": 0.5, "error_ratio": 1e-7}
RECORD: document.Record = {
    "cnn": {
        "onnx": {"torchscript": GOOD, "exported": {**GOOD, "nodes": 20, "bytes": 102}},
        "openvino": {"torchscript": {"bytes": 9}, "exported": {"error": "no operator\nfor it"}},
    },
    "gru": {"onnx": {"torchscript": GOOD, "exported": {**GOOD, "error_ratio": 0.5}}},
}


def test_what_is_wrong_is_counted_and_told() -> None:
    text = document.written(RECORD)
    assert "| onnx is good | 2 | 2 | 1 |" in text
    assert "| openvino is good | 1 | 1 | 0 |" in text
    assert "| nodes | 2 | 0 | 1 | 1 | 1.41 |" in text
    assert "- cnn, openvino by `exported`: no operator for it" in text
    assert "- gru, onnx by `exported`: the outputs are off by 5.0e-01 of the original's" in text


def test_the_document_is_what_the_record_gives() -> None:
    record = json.loads(document.RESULTS.read_text())
    assert document.DOCUMENT.read_text() == document.written(record)
    assert all(set(row["onnx"]) == set(document.ROUTES) for row in record.values())
