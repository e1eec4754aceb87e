"""Random samples of every rank and type, and how they are fed."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import ports
from buildsys.backends.kit.protocol.contract import Port
from buildsys.backends.kit.run import batches, edges
from buildsys.recipe.schema.model import LIMITS
from buildsys.verify.outputs.samples import fitted, random_samples

DTYPES = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool")
COUNT = 3


@st.composite
def declared(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A port: no axes or up to four, of fixed sizes, of none, or with a batch that varies."""
    shape: list[int | str] = draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4))
    if draw(st.booleans()):
        shape = ["N", *shape[:3]]
    dtype = draw(st.sampled_from(DTYPES))
    least, most = LIMITS.get(dtype, (-1e6, 1e6))
    number = st.floats(least, most) if "float" in dtype else st.integers(int(least), int(most))
    bounded = "int" in dtype or draw(st.booleans())
    dims = {"N": {"min": 1, "max": 8, "example": 2}} if "N" in shape else {}
    span = sorted([draw(number), draw(number)]) if bounded else None
    return {"name": name, "shape": shape, "dtype": dtype, "dims": dims, "range": span}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(first=declared("a"), second=declared("b"), kind=st.sampled_from(["normal", "uniform"]))
def test_every_rank_and_type_is_drawn_and_fed(
    first: dict[str, Any], second: dict[str, Any], kind: str
) -> None:
    both = [first, second]
    samples = random_samples({"ports": both, "random": kind, "count": COUNT, "seed": 1})
    plan = batches.plan(both, None, dynamic=True)
    seen: list[str] = []

    def run(feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for port in both:
            array = feed[port["name"]]
            cast = ports.to_artifact(Port(port["name"], port["shape"], port["dtype"]), array)
            assert cast.dtype == np.dtype(port["dtype"])
            assert cast.ndim == array.ndim == len(port["shape"])
            wanted = zip(port["shape"], cast.shape, strict=True)
            assert all(size in ("N", have) for size, have in wanted)
            seen.append(port["name"])
        return {"y": np.zeros((1,), np.float32)}

    for port in both:
        rows = samples[port["name"]]
        assert len(rows) == COUNT
        np.testing.assert_array_equal(fitted(rows, port), rows)
        if port["range"] is not None and (rows.dtype.kind != "f" or kind == "uniform"):
            low, high = np.array(port["range"], rows.dtype)  # As the type rounds them.
            assert ((rows >= low) & (rows <= high)).all()
    run(batches.example(samples, plan))
    for feed in edges._cases(samples, both).values():
        run(batches.example(feed, plan))
    assert seen


def test_a_number_is_fed_as_a_number() -> None:
    port = {"name": "sr", "shape": [], "dtype": "int64", "dims": {}, "range": [8000, 16000]}
    samples = random_samples({"ports": [port], "random": "normal", "count": COUNT, "seed": 1})
    assert samples["sr"].shape == (COUNT,)
    plan = batches.plan([port], None, dynamic=True)
    shapes = []

    def run(feed: Any) -> dict[str, NDArray[Any]]:
        shapes.append(feed["sr"].shape)
        return {"y": np.asarray(feed["sr"], np.float32)}

    got = batches.run(run, samples, plan, ["y"])
    assert shapes == [()] * COUNT
    np.testing.assert_array_equal(got.outputs["y"], samples["sr"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_without_axes_stays_one(dtype: str) -> None:
    assert ports.to_artifact(Port("x", [], dtype), np.array(1, dtype)).shape == ()
