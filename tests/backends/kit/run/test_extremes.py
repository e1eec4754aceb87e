"""The smallest and the largest sizes, against models in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.backends.kit.run import extremes

Arrays = Mapping[str, NDArray[Any]]


def port(name: str, shape: list[int | str], dtype: str = "float32", **dims: Any) -> dict[str, Any]:
    described = {
        s: dict(zip(("min", "max", "example"), dims[s], strict=True))
        for s in shape
        if isinstance(s, str)
    }
    return {"name": name, "shape": shape, "dtype": dtype, "dims": described, "range": None}


def request(ports: list[dict[str, Any]]) -> Request:
    return Request({}, {}, {"ports": ports}, Path())


SEQUENCE = port("x", ["N", "T", 2], N=(1, 8, 1), T=(2, 12, 5))
SAMPLES = {"x": np.arange(4 * 7 * 2, dtype=np.float32).reshape(4, 7, 2)}


def total(feed: Arrays) -> dict[str, NDArray[Any]]:
    return {"y": feed["x"].cumsum(axis=1)}


def test_all_sizes_at_their_example_least_and_most() -> None:
    fed, given = extremes.original(total, SAMPLES, request([SEQUENCE]), ["y"])
    assert {name: array.shape for name, array in given.items()} == {
        "N=1,T=5/y": (2, 1, 5, 2),
        "N=1,T=2/y": (2, 1, 2, 2),
        "N=8,T=12/y": (2, 8, 12, 2),
    }
    # The samples' own values: rows and positions that wrap around, other rows in the other draw.
    first = fed["N=8,T=12/0/x"]
    np.testing.assert_array_equal(first[:4, :7], SAMPLES["x"])
    np.testing.assert_array_equal(first[4:, 7:], SAMPLES["x"][:, :5])
    assert not np.array_equal(first, fed["N=8,T=12/1/x"])
    assert extremes.sizes_of("N=8,T=12") == {"N": 8, "T": 12}


def test_an_artifact_is_fed_what_the_original_was() -> None:
    made = request([SEQUENCE])
    fed, given = extremes.original(total, SAMPLES, made, ["y"])
    got = extremes.artifact(total, fed, None, made, ["y"])
    assert got.keys() == given.keys()
    for name, array in got.items():
        np.testing.assert_array_equal(array, given[name])
    assert made.notes == []


def test_nothing_varies() -> None:
    fixed = port("x", ["N", 2], N=(1, 1, 1))
    assert extremes.corners([fixed]) == []
    # A batch at the example is what the samples are run at anyhow.
    batch = port("x", ["N", 2], N=(1, 8, 1))
    assert [c.sizes for c in extremes.corners([batch])] == [{"N": 8}]


def test_an_artifact_that_does_not_run_at_a_size() -> None:
    made = request([SEQUENCE])
    fed, _ = extremes.original(total, SAMPLES, made, ["y"])

    def few(feed: Arrays) -> dict[str, NDArray[Any]]:
        if feed["x"].shape[1] > 5:
            raise RuntimeError("Got 12, expected 5\nsomewhere")
        return total(feed)

    with pytest.raises(StepError) as caught:
        extremes.artifact(few, fed, None, made, ["y"])
    assert caught.value.message == (
        "the artifact does not run at N = 8, T = 12, which `dims` allow: "
        "Got 12, expected 5 somewhere"
    )
    assert caught.value.field == "inputs.x.dims.N"


def test_a_size_that_an_artifact_fixes_as_it_says_is_left_out_and_said() -> None:
    made = request([SEQUENCE])
    fed, _ = extremes.original(total, SAMPLES, made, ["y"])
    contract = Contract([Port("x", ["N", 5, 2], "float32")], [])
    got = extremes.artifact(total, fed, contract, made, ["y"])
    assert list(got) == ["N=1,T=5/y"]
    assert made.notes == [
        "the artifact fixes `x` at ['N', 5, 2]: it was not run at N = 1, T = 2",
        "the artifact fixes `x` at ['N', 5, 2]: it was not run at N = 8, T = 12",
    ]


@pytest.mark.parametrize(
    ("longest", "message", "field"),
    [
        (
            10,
            "the original model does not run at T = 12, which `dims` allow: T is 12",
            "inputs.x.dims.T.max",
        ),
        (
            99,
            "the original model does not run at N = 8, T = 12, which `dims` allow: T is 12",
            "inputs.x.dims.N.max",
        ),
    ],
)
def test_an_original_that_does_not_run_names_the_dim(
    longest: int, message: str, field: str
) -> None:
    def model(feed: Arrays) -> dict[str, NDArray[Any]]:
        rows, length = feed["x"].shape[:2]
        if length > longest or rows * length > 80:
            raise ValueError(f"T is {length}")
        return total(feed)

    with pytest.raises(StepError) as caught:
        extremes.original(model, SAMPLES, request([SEQUENCE]), ["y"])
    assert (caught.value.message, caught.value.field) == (message, field)


def test_not_a_number_is_no_answer() -> None:
    def model(feed: Arrays) -> dict[str, NDArray[Any]]:
        return {"y": feed["x"] * np.float32(np.nan if feed["x"].shape[1] == 2 else 1)}

    with pytest.raises(
        StepError, match=r"at T = 2, which `dims` allow: its output `y` holds 8 NaN"
    ):
        extremes.original(model, SAMPLES, request([SEQUENCE]), ["y"])


def test_inputs_that_depend_on_each_other_are_drawn_anew() -> None:
    """Lengths of the samples are beyond the smallest size; random ones fit sooner or later."""
    ports = [SEQUENCE, port("length", ["N"], "int64", N=(1, 8, 1))]
    samples = {**SAMPLES, "length": np.full(4, 7)}

    def model(feed: Arrays) -> dict[str, NDArray[Any]]:
        if (feed["length"] > feed["x"].shape[1]).any():
            raise ValueError("too long")
        return total(feed)

    fed, _ = extremes.original(model, samples, request(ports), ["y"])
    assert fed["N=1,T=2/0/length"].max() <= 1
    assert fed["N=8,T=12/0/length"].tolist() == [7] * 8


def test_without_a_batch_axis() -> None:
    lone = port("x", ["T", 2], T=(1, 9, 3))
    samples = {"x": np.arange(24, dtype=np.float32).reshape(4, 3, 2)}
    fed, given = extremes.original(lambda f: {"y": f["x"] * 2}, samples, request([lone]), ["y"])
    assert given["T=9/y"].shape == (2, 9, 2)
    np.testing.assert_array_equal(fed["T=9/1/x"], np.tile(samples["x"][1], (3, 1)))


@pytest.mark.parametrize(
    ("declared", "sizes"),
    [
        # The batch gives way first, and by halves.
        (port("x", ["N", 3, 224, 224], N=(1, 64, 1)), {"N": 8}),
        (port("x", ["N", "T"], N=(1, 64, 1), T=(1, 4096, 16)), {"N": 1, "T": 4096}),
        (port("x", ["N", "T"], N=(1, 64, 1), T=(1, 100_000, 16)), {"N": 1, "T": 3125}),
        # What is not a sequence counts by its elements only.
        (port("x", ["N", 3, "H", "H"], N=(1, 4, 1), H=(32, 512, 32)), {"N": 2, "H": 512}),
    ],
)
def test_much_is_capped_and_said(declared: dict[str, Any], sizes: dict[str, int]) -> None:
    (corner,) = [c for c in extremes.corners([declared]) if c.bound == "max"]
    assert corner.sizes == sizes
    assert corner.capped


def test_a_cap_is_said_and_a_refusal_there_is_not_the_recipe_s() -> None:
    declared = port("x", ["T", 2], T=(1, 10_000_000, 3))
    samples = {"x": np.arange(24, dtype=np.float32).reshape(4, 3, 2)}
    made = request([declared])

    def model(feed: Arrays) -> dict[str, NDArray[Any]]:
        if len(feed["x"]) > 4000:
            raise ValueError("too many")
        return {"y": feed["x"] * 2}

    _, given = extremes.original(model, samples, made, ["y"])
    assert list(given) == ["T=1/y"]
    assert made.notes == [
        "`dims` allow T = 10000000, which is much to run: the largest sizes that were compared are "
        "T = 625000",
        "the original model does not take T = 625000: not run there",
    ]
