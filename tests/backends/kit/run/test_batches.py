"""Batching against a fake artifact in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import StepError
from buildsys.backends.kit.run import batches

Arrays = Mapping[str, NDArray[Any]]


def port(
    shape: list[int | str], example: int = 1, least: int = 1, most: int = 64
) -> dict[str, Any]:
    dims = {s: {"min": least, "max": most, "example": example} for s in shape if isinstance(s, str)}
    return {
        "name": "x",
        "shape": shape,
        "dtype": "float32",
        "dims": dims,
        "range": None,
        "layout": None,
    }


class Doubler:
    """Doubles its input and counts the batches that it was given."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, feed: Arrays) -> dict[str, NDArray[Any]]:
        self.seen.append(len(feed["x"]))
        return {"y": feed["x"] * 2}


def rows(n: int, *shape: int) -> dict[str, NDArray[Any]]:
    return {"x": np.arange(n * int(np.prod(shape)), dtype=np.float32).reshape(n, *shape)}


@pytest.mark.parametrize("n", [1, 2, 3, 31, 33, 100])
@pytest.mark.parametrize("example", [1, 2, 5, 64])
def test_a_dynamic_batch_is_run_at_two_sizes_and_keeps_every_row(n: int, example: int) -> None:
    fake = Doubler()
    plan = batches.plan([port(["N", 3], example)], None, dynamic=True)
    got = batches.run(fake, rows(n, 3), plan, ["y"])
    np.testing.assert_array_equal(got.outputs["y"], rows(n, 3)["x"] * 2)
    assert len(got.sizes) == 2
    assert fake.seen[0] == example
    assert max(fake.seen) <= 64


@pytest.mark.parametrize("n", [1, 4, 5, 9])
def test_a_fixed_batch_is_padded_and_cut(n: int) -> None:
    fake = Doubler()
    contract = Contract([Port("x", [4, 3], "float32")], [Port("y", [4, 3], "float32")])
    plan = batches.plan([port(["N", 3], example=4)], contract, dynamic=False)
    got = batches.run(fake, rows(n, 3), plan, ["y"])
    np.testing.assert_array_equal(got.outputs["y"], rows(n, 3)["x"] * 2)
    assert set(fake.seen) == {4} == got.sizes


def test_a_format_without_dynamic_sizes_is_fed_the_example_even_if_ports_have_symbols() -> None:
    fake = Doubler()
    plan = batches.plan([port(["N", 3], example=2)], None, dynamic=False)
    batches.run(fake, rows(5, 3), plan, ["y"])
    assert fake.seen == [2, 2, 2]


def test_a_model_without_batch_gets_one_sample_a_run() -> None:
    fake = Doubler()
    plan = batches.plan([port([2, 3])], None, dynamic=True)
    got = batches.run(fake, rows(4, 2, 3), plan, ["y"])
    np.testing.assert_array_equal(got.outputs["y"], rows(4, 2, 3)["x"] * 2)
    assert fake.seen == [2] * 4


def test_the_batch_axis_of_an_output_need_not_be_the_first() -> None:
    plan = batches.plan([port(["N", 3])], None, dynamic=True)
    feeds = rows(5, 3)
    got = batches.run(lambda f: {"h": np.stack([f["x"], f["x"] + 1])}, feeds, plan, ["h"])
    np.testing.assert_array_equal(got.outputs["h"], np.stack([feeds["x"], feeds["x"] + 1], axis=1))


def test_a_batch_of_one_may_be_missing_in_an_output() -> None:
    plan = batches.plan([port([1, 3])], None, dynamic=True)
    got = batches.run(lambda f: {"s": f["x"].sum()}, rows(3, 3), plan, ["s"])
    np.testing.assert_array_equal(got.outputs["s"], rows(3, 3)["x"].sum(axis=1))


def test_an_output_without_batch_axis_is_an_error_that_names_it() -> None:
    plan = batches.plan([port(["N", 3])], None, dynamic=True)
    with pytest.raises(StepError, match="`mean` has no batch axis"):
        batches.run(lambda f: {"mean": f["x"].mean(axis=0)}, rows(5, 3), plan, ["mean"])


def test_a_batch_that_was_fixed_unasked_is_an_error() -> None:
    plan = batches.plan([port(["N", 3])], None, dynamic=True)
    with pytest.raises(StepError, match="`y` has no batch axis"):
        batches.run(lambda f: {"y": f["x"][:1]}, rows(5, 3), plan, ["y"])


@pytest.mark.parametrize(
    ("gives", "message"),
    [({}, "lacks `y`; its outputs are nothing"), ({"y": 0, "z": 0}, "more than the recipe's 1")],
)
def test_missing_and_surplus_outputs_are_named(gives: dict[str, int], message: str) -> None:
    plan = batches.plan([port(["N", 3])], None, dynamic=True)
    with pytest.raises(StepError, match=message):
        batches.run(lambda f: dict.fromkeys(gives, f["x"]), rows(2, 3), plan, ["y"])


def test_samples_of_another_size_than_the_artifact_was_fixed_at() -> None:
    contract = Contract([Port("x", [1, 4], "float32")], [])
    plan = batches.plan([port(["N", "T"])], contract, dynamic=False)
    with pytest.raises(StepError, match=r"shape \[3\] do not fit .* `x` of shape \[1, 4\]"):
        batches.run(Doubler(), rows(2, 3), plan, ["y"])


def test_the_contract_of_a_transposed_artifact_is_read_in_the_models_order() -> None:
    contract = Contract([Port("x", [3, 2], "float32", permutation=[1, 0])], [])
    plan = batches.plan([port(["N", 3], example=2)], contract, dynamic=False)
    assert plan.shapes == {"x": [2, 3]}
    assert plan.first == plan.then == 2


def test_nan_goes_through() -> None:
    plan = batches.plan([port(["N", 1])], None, dynamic=True)
    got = batches.run(lambda f: {"y": f["x"] * np.nan}, rows(3, 1), plan, ["y"])
    assert np.isnan(got.outputs["y"]).all()
