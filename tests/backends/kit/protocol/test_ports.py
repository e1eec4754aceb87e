"""Casts, permutations and symbolic shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import ports
from buildsys.backends.kit.protocol.contract import Port
from buildsys.backends.kit.protocol.request import StepError


def test_permutation_and_cast_there_and_back() -> None:
    port = Port("x", [1, 4, 5, 3], "int32", permutation=[0, 2, 3, 1])
    array = np.arange(60, dtype=np.int64).reshape(1, 3, 4, 5)
    fed = ports.to_artifact(port, array)
    assert fed.shape == (1, 4, 5, 3)
    assert fed.dtype == np.int32
    np.testing.assert_array_equal(ports.to_model(port, fed), array)
    assert ports.model_shape(port) == [1, 3, 4, 5]


def test_an_integer_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(StepError, match="`ids` do not fit into int32"):
        ports.to_artifact(Port("ids", [1], "int32"), np.array([2**40]))


def test_symbolic_shapes_follow_what_changed() -> None:
    shape = ports.symbolic(
        [2, 8, 12, 5, 24, 3],
        {"N": 2, "T": 12},
        {"N": ([3, 8, 12, 5, 36, 3], 3), "T": ([2, 8, 13, 5, 26, 4], 13)},
    )
    assert shape == ["N", 8, "T", 5, "f(N,T)", "T-9"]


def test_a_feed_is_within_range_and_repeatable() -> None:
    port: dict[str, Any] = {
        "name": "ids",
        "shape": ["N", 50],
        "dtype": "int64",
        "dims": {},
        "range": [3, 7],
        "layout": None,
    }
    one, two = (ports.random_feed([port], {"N": 4}, seed=1)["ids"] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert set(np.unique(one)) == {3, 4, 5, 6, 7}


def test_a_number_without_axes_stays_one() -> None:
    """Runtimes refuse an array of one where the model declares a number."""
    port = Port("x", [], "float32")
    fed = ports.to_artifact(port, np.array(1.5))
    assert fed.shape == ()
    assert ports.to_model(port, fed).shape == ()


def test_a_number_without_axes_may_be_an_array_of_one_in_the_artifact() -> None:
    port = Port("x", [1], "float32", permutation=[])
    fed = ports.to_artifact(port, np.array(1.5))
    assert fed.shape == (1,)
    assert ports.to_model(port, fed).shape == ()
    assert ports.model_shape(port) == []
