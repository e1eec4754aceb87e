"""Calibration data: cut into runs, every row once at least, and refused where ranges would mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import StepError
from buildsys.backends.kit.quantize import calibration, ranges

DIM = {"N": {"min": 1, "max": 8, "example": 2}}
PORTS: list[dict[str, Any]] = [
    {"name": "x", "shape": ["N", 3], "dtype": "float32", "dims": DIM, "range": [-9, 9]},
    {"name": "y", "shape": ["N"], "dtype": "float32", "dims": DIM, "range": None},
]
CONTRACT = Contract(
    [Port("x", ["N", 3], "float32"), Port("y", ["N"], "float32")],
    [Port("z", ["N"], "float32")],
)


def rows(count: int) -> dict[str, NDArray[Any]]:
    x = np.arange(3 * count, dtype=np.float32).reshape(count, 3) / 10
    return {"x": x, "y": np.arange(count, dtype=np.float32)}


def feeds(folder: Path, data: dict[str, NDArray[Any]], dynamic: bool = True) -> list[Any]:
    arrays.save(folder / "data.npz", data)
    return calibration.feeds(folder / "data.npz", CONTRACT, PORTS, dynamic)


def test_rows_are_cut_at_the_example_s_size_and_none_is_left_out(tmp_path: Path) -> None:
    data = rows(5)
    found = feeds(tmp_path, data)
    assert [each["x"].shape for each in found] == [(2, 3)] * 3
    assert np.array_equal(np.concatenate([f["x"] for f in found])[:5], data["x"])
    # The last cut is filled up by what is in the data, and by nothing else.
    assert np.array_equal(found[2]["x"], data["x"][[4, 4]])
    assert np.array_equal(found[2]["y"], data["y"][[4, 4]])


def refused(folder: Path, data: dict[str, NDArray[Any]]) -> str:
    with pytest.raises(StepError) as caught:
        feeds(folder, data)
    assert caught.value.field == "quantization.calibration"
    return caught.value.message


def test_what_ranges_cannot_be_taken_from_is_refused(tmp_path: Path) -> None:
    data = rows(4)
    assert refused(tmp_path, {"x": data["x"]}) == "the calibration data has no `y`; it has `x`"
    assert refused(tmp_path, data | {"y": data["y"][:3]}) == (
        "the calibration data is not equally long: `x` has 4, `y` has 3"
    )
    assert refused(tmp_path, data | {"x": np.zeros((4, 2), np.float32)}) == (
        "the calibration data of `x` has the shape [4, 2]; the model takes ['N', 3], so [n, 3] was "
        "expected"
    )
    holes = data["x"].copy()
    holes[2:, 1] = np.nan, np.inf
    assert refused(tmp_path, data | {"x": holes}) == (
        "the calibration data of `x` has 2 values that are not finite, the first in row 2"
    )
    far = data["x"].copy()
    far[3, 0] = 9.5
    assert refused(tmp_path, data | {"x": far}) == (
        "the calibration data of `x` goes from 0 to 9.5, beyond its range [-9, 9]; the first such row "
        "is 3"
    )


def test_ranges_are_written_in_the_order_of_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    ranges.write(
        path, "mse", 3, {"b": [(0.0, 1.0)], "a": [(-1.0, 2.0)]}, {"mse": 0.1, "other": np.inf}
    )
    record = json.loads(path.read_text())
    assert record == {
        "version": 1,
        "method": "mse",
        "runs": 3,
        "tried": {"mse": 0.1, "other": None},
        "tensors": [
            {"name": "b", "ranges": [[0.0, 1.0]]},
            {"name": "a", "ranges": [[-1.0, 2.0]]},
        ],
    }
    for low, high in ((1.0, 0.0), (np.nan, 1.0), (0.0, np.inf)):
        with pytest.raises(StepError, match=r"calibration found the range .* for `b`"):
            ranges.write(path, "mse", 3, {"b": [(low, high)]})
