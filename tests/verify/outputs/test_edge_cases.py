"""Zeros and extreme values: what the original is fed there, and what artifacts are held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.backends.kit.run import batches, edges
from buildsys.engine.outcome.verdicts import describe
from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.judgment.limits import Limits
from buildsys.verify.outputs.edge_cases import edges as compared
from buildsys.verify.outputs.metrics import compare
from tests.space import Space, statuses

Array = NDArray[Any]
DIMS = {"N": {"min": 1, "max": 8, "example": 1}}
SAMPLES = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
NAMES = ["y"]


def port(
    span: list[float] | None = None, dtype: str = "float32", name: str = "x"
) -> dict[str, Any]:
    return {"name": name, "shape": ["N", 3], "dtype": dtype, "dims": DIMS, "range": span}


def request(*ports: dict[str, Any]) -> Request:
    return Request({}, {}, {"ports": list(ports)}, Path())


def original(
    function: Callable[[Array], Array], *ports: dict[str, Any]
) -> tuple[arrays.Arrays, arrays.Arrays, Request]:
    asked = request(*(ports or (port(),)))
    plan = batches.plan(asked.options["ports"], None, True)

    def run(feed: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": function(feed["x"])}

    fed, given = edges.original(run, {"x": SAMPLES}, plan, asked, NAMES)
    return fed, given, asked


def twice(x: Array) -> Array:
    return 2 * x


def test_zeros_and_the_ends_of_the_declared_range() -> None:
    fed, given, asked = original(twice, port([-3, 5]))
    assert {key: float(array.min()) for key, array in fed.items()} == {
        "zeros/x": 0, "low/x": -3, "high/x": 5,
    }  # fmt: skip
    assert all((array == array.min()).all() and array.shape == (1, 3) for array in fed.values())
    assert given["high/y"].tolist() == [[10, 10, 10]]
    assert np.allclose(given["high~/y"], 10, atol=1e-3)
    assert asked.notes == []


def test_without_a_range_it_is_what_the_samples_hold() -> None:
    fed, _, _ = original(twice)
    assert sorted(key.partition("/")[0] for key in fed) == ["least", "most", "zeros"]
    assert fed["most/x"].max() == SAMPLES.max()
    assert fed["least/x"].min() == SAMPLES.min()


def test_a_range_without_zero_and_one_that_begins_there() -> None:
    fed, _, _ = original(twice, port([1, 9]))
    # Zero is no input of this model: the nearest is the low end, which is fed once.
    assert sorted(fed) == ["high/x", "zeros/x"]
    assert fed["zeros/x"].max() == 1
    assert sorted(original(twice, port([0, 9]))[0]) == ["high/x", "zeros/x"]


def test_where_the_original_fails_it_is_left_out_with_a_note() -> None:
    def picky(x: Array) -> Array:
        if not x.any():
            raise ValueError("nothing to see")
        return np.where(x > 4, np.inf, x).astype(np.float32)

    fed, given, asked = original(picky, port([-3, 5]))
    assert list(fed) == ["low/x"]
    assert {key.partition("/")[0] for key in given} == {"low", "low~"}
    assert asked.notes == [
        "the original model does not take inputs of all zeros: nothing to see",
        "the original model gives NaN or infinities for inputs at the high end of their range: "
        "artifacts are not compared there",
    ]


def test_an_artifact_that_refuses_an_edge_fails() -> None:
    def refuses(feed: Mapping[str, Array]) -> dict[str, Array]:
        raise RuntimeError("index out of range\nin kernel 7")

    plan = batches.plan([port()], None, True)
    with pytest.raises(StepError) as told:
        edges.artifact(refuses, {"zeros/x": SAMPLES[:1]}, plan, NAMES)
    assert told.value.message == (
        "the artifact does not run on inputs of all zeros, which the original takes: "
        "index out of range in kernel 7"
    )


def gates(
    function: Callable[[Array], Array],
    limits: Limits,
    model: Callable[[Array], Array] = twice,
    span: list[float] | None = None,
) -> list[Gate]:
    """What fails of an artifact that is right on the samples."""
    fed, reference, _ = original(model, port(span or [-3, 5]))
    outputs = {key.replace("/x", "/y"): function(array) for key, array in fed.items()}
    told = compared(outputs, reference, {"y": model(SAMPLES)}, NAMES)
    figures = compare(model(SAMPLES), model(SAMPLES)).to_json()
    record = {"outputs": {"y": figures}, "metric": None, "edges": told}
    found = judge(Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None)
    return [gate for gate in found if not gate.passed]


CLOSE = Limits({"signal_error": 1e-6})
HALF = Limits({"signal_error": 1e-6}, precision="float16")


def overflows(x: Array) -> Array:
    return np.where(x > 4, np.inf, 2 * x).astype(np.float32)


def test_what_is_right_passes() -> None:
    assert gates(twice, CLOSE) == []
    # More than the bound on the samples, and no more than rounding in float32 may be out there.
    assert gates(lambda x: 2 * x * np.float32(1 + 1e-4), CLOSE) == []


def test_an_overflow_at_the_end_of_the_range_is_found() -> None:
    for limits in (CLOSE, HALF):
        found = gates(overflows, limits)
        assert {gate.bound for gate in found} == {"finite", *(["signal_error"] * (limits is CLOSE))}
        assert "for inputs at the high end of their range" in describe(found[0])
        assert found[0].to_json()["case"] == "inputs at the high end of their range"


def test_a_clipped_range_is_found_in_float32_alone() -> None:
    def clipped(x: Array) -> Array:
        return 2 * np.minimum(x, 3)

    (gate,) = gates(clipped, CLOSE)
    assert (gate.bound, gate.limit, gate.case) == (
        "signal_error", 1e-3, "inputs at the high end of their range",
    )  # fmt: skip
    # Far outside of what a calibration saw, integers clip: that is what they are for.
    assert gates(clipped, HALF) == []


def test_extremes_that_nobody_declared_must_be_finite_in_float32_alone() -> None:
    fed, reference, _ = original(twice)
    outputs = {key.replace("/x", "/y"): 2 * array for key, array in fed.items()}
    outputs["most/y"] = np.full_like(outputs["most/y"], np.inf)
    told = compared(outputs, reference, {"y": twice(SAMPLES)}, NAMES)
    figures = compare(SAMPLES, SAMPLES).to_json()
    record = {"outputs": {"y": figures}, "metric": None, "edges": told}
    for limits, count in ((CLOSE, 2), (HALF, 0)):
        found = judge(
            Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None
        )
        assert len([gate for gate in found if not gate.passed]) == count


def test_where_the_original_itself_is_noise_only_finiteness_counts() -> None:
    def normed(x: Array) -> Array:
        """A layer norm with an epsilon that helps nothing, as of BERT."""
        wide = x - x.mean(axis=-1, keepdims=True)
        size = np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(wide / size, np.float32)

    assert gates(lambda x: normed(x) + 0.5 * (x > 4), CLOSE, normed) == []
    assert gates(lambda x: np.where(x > 4, np.nan, normed(x)), CLOSE, normed) != []


def test_a_build_runs_them(space: Space) -> None:
    space.edit("deploy.yaml", "max: 8, example: 1}}}", "max: 8, example: 1}}, range: [-5, 5]}")
    build = space.build("ios/m.onnx", "android/m.tflite-half")
    assert set(statuses(build).values()) == {"verified"}
    measurement = build.verdicts[0].measurement
    assert measurement is not None
    assert {edge.case for edge in measurement.edges} == {"zeros", "low", "high"}
    assert all(edge.steady == {"y": True} for edge in measurement.edges)


def test_an_edge_that_tells_of_rounding_is_not_judged_where_one_draw_alone_hides_it() -> None:
    first = int(np.random.default_rng(0).standard_normal((1, 3)).argmax())

    def chancy(x: Array) -> Array:
        lucky = (x == x.min()).all() or int(x.argmax()) == first
        return 2 * x * (1 if lucky else 1.1)

    assert gates(lambda x: 2.2 * x, CLOSE, chancy) == []
    assert gates(lambda x: 2.2 * x, CLOSE) != []
