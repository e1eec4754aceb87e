"""Which labels go with an evaluation's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.verify.outputs.samples import draw

PORT = {"name": "x", "shape": ["N", 2], "dtype": "float32", "dims": {"N": {"min": 1, "max": 9}}}


def drawn(folder: Path, labels: Any, role: str = "evaluation", **rows: Any) -> arrays.Arrays:
    arrays.save(folder / "in.npz", {"x": np.ones((5, 2), np.float32), **rows})
    options = {
        "ports": [PORT],
        "role": role,
        "arrays": {},
        "labels": labels,
        "limit": 4,
        "count": None,
        "seed": None,
    }
    request = Request(
        {"source": folder / "in.npz"}, {"samples": folder / "out.npz"}, options, folder
    )
    draw(request)
    return arrays.load(folder / "out.npz")


def test_several_arrays_of_labels_by_name(tmp_path: Path) -> None:
    found = drawn(tmp_path, ["boxes", "k"], boxes=np.ones((5, 3)), k=np.arange(5))
    labels = arrays.labels_of(found)
    assert isinstance(labels, dict)
    assert labels["boxes"].shape == (4, 3)
    assert labels["k"].tolist() == [0, 1, 2, 3]
    one = arrays.labels_of(drawn(tmp_path, "k", k=np.arange(5)))
    assert np.array_equal(np.asarray(one), np.arange(4))


def test_labels_that_a_function_gave_go_along(tmp_path: Path) -> None:
    given: dict[str, Any] = {f"{arrays.LABELS}/boxes": np.ones((5, 3))}
    labels = arrays.labels_of(drawn(tmp_path, None, **given))
    assert isinstance(labels, dict)
    assert labels["boxes"].shape == (4, 3)
    assert arrays.labels_of(drawn(tmp_path, None, role="calibration", **given)) is None


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no array `boxs` for the labels"):
        drawn(tmp_path, ["boxs"], boxes=np.ones((5, 3)))
