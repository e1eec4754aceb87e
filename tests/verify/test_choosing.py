"""The samples on which a fault is located: the worst first, be it a sample or an edge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit import arrays
from buildsys.backends.kit.request import Request
from buildsys.verify.locating import choose

Array = NDArray[Any]
X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([[1.0, 2.0], [3.0, 1.0], [5.0, 7.0], [2.0, 2.0]], np.float32)
VARIES = pytest.approx(float(np.sqrt(np.mean((Y - Y.mean(0)) ** 2))))


def chosen(folder: Path, **given: dict[str, Array]) -> tuple[Array, dict[str, float]]:
    inputs = {}
    for name, held in ({"samples": {"x": X}} | given).items():
        inputs[name] = folder / f"{name}.npz"
        arrays.save(inputs[name], held)
    outputs = {name: folder / name for name in ("chosen", "varies")}
    choose(Request(inputs, outputs, {"outputs": ["y"]}, folder))
    return arrays.load(outputs["chosen"])["x"], json.loads(outputs["varies"].read_text())


def test_the_worst_sample_is_first_and_variation_is_told(tmp_path: Path) -> None:
    got = Y.copy()
    got[2, 0] += 0.5
    rows, varies = chosen(tmp_path, got={"y": got}, reference={"y": Y})
    assert rows[:, 0].tolist() == [6.0, 0.0, 3.0, 9.0]
    assert varies == {"y": VARIES}


def test_an_edge_where_it_alone_goes_wrong_is_first(tmp_path: Path) -> None:
    zeros = np.zeros((1, 3), np.float32)
    most = np.full((1, 3), 11.0, np.float32)
    rows, varies = chosen(
        tmp_path,
        got={"y": Y},
        reference={"y": Y},
        edges={"zeros/x": zeros, "most/x": most},
        got_edges={"zeros/y": np.full((1, 2), np.nan, np.float32), "most/y": Y[:1]},
        reference_edges={"zeros/y": Y[:1], "zeros~/y": Y[:1], "most/y": Y[:1]},
    )
    assert (rows[0].tolist(), len(rows)) == ([0.0] * 3, 6)
    # How an output varies is a matter of the samples.
    assert varies == {"y": VARIES}


def test_an_edge_of_other_outputs_is_passed_over(tmp_path: Path) -> None:
    rows, _ = chosen(
        tmp_path,
        got={"y": Y},
        reference={"y": Y},
        edges={"zeros/x": np.zeros((1, 3), np.float32)},
        got_edges={"zeros/y": np.zeros((1, 5), np.float32)},
        reference_edges={"zeros/y": np.zeros((1, 5), np.float32)},
    )
    assert rows.tolist() == X.tolist()


def test_what_was_not_run_keeps_its_order(tmp_path: Path) -> None:
    rows, varies = chosen(tmp_path)
    assert rows.tolist() == X.tolist()
    assert varies == {}
