"""The samples on which a fault is located: the worst first, be it a sample or an edge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request
from buildsys.verify.localization.sample_choice import choose

Array = NDArray[Any]
X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([[1.0, 2.0], [3.0, 1.0], [5.0, 7.0], [2.0, 2.0]], np.float32)
VARIES = pytest.approx(float(np.sqrt(np.mean((Y - Y.mean(0)) ** 2))))


def chosen(
    folder: Path, scheme: str | None = None, **given: dict[str, Array]
) -> tuple[Array, dict[str, float]]:
    inputs = {}
    for name, held in ({"samples": {"x": X}} | given).items():
        inputs[name] = folder / f"{name}.npz"
        arrays.save(inputs[name], held)
    outputs = {name: folder / name for name in ("chosen", "varies")}
    choose(Request(inputs, outputs, {"outputs": ["y"], "scheme": scheme}, folder))
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
    # Of `most` nobody knows whether the original is steady there, so that nothing judges it.
    assert (rows[0].tolist(), len(rows)) == ([0.0] * 3, 5)
    # How an output varies is a matter of the samples.
    assert varies == {"y": VARIES}


@pytest.mark.parametrize(
    ("scheme", "near", "given", "fed"),
    [
        (None, 0.0, 3.0, True),
        (None, 1.0, 3.0, False),  # The original itself moves there by as much.
        (None, 1.0, np.inf, True),
        ("float16", 0.0, 3.0, False),  # At edges float16 has to be finite, no more.
        ("float16", 0.0, np.inf, True),
    ],
)
def test_an_edge_that_no_bound_judges_is_not_fed(
    tmp_path: Path, scheme: str | None, near: float, given: float, fed: bool
) -> None:
    rows, _ = chosen(
        tmp_path,
        scheme,
        got={"y": Y},
        reference={"y": Y},
        edges={"zeros/x": np.zeros((1, 3), np.float32)},
        got_edges={"zeros/y": Y[:1] + np.float32(given)},
        reference_edges={"zeros/y": Y[:1], "zeros~/y": Y[:1] + np.float32(near)},
    )
    assert len(rows) == len(X) + fed


def test_edges_of_integers_are_fed_where_the_recipe_declares_them(tmp_path: Path) -> None:
    bad = np.full((1, 2), np.nan, np.float32)
    names = ("high", "most")
    rows, _ = chosen(
        tmp_path,
        "static",
        got={"y": Y},
        reference={"y": Y},
        edges={f"{n}/x": np.full((1, 3), 7 + i, np.float32) for i, n in enumerate(names)},
        got_edges={f"{n}/y": bad for n in names},
        reference_edges={f"{n}/y": Y[:1] for n in names},
    )
    assert (rows[0].tolist(), len(rows)) == ([7.0] * 3, 5)


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
