"""What an artifact in float16 holds, taken back to the model's weights; and the graph judged by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Norm, Stored, Weights, save
from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request
from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.defaults import ABOVE_FLOOR, GRAPH_ABOVE_FLOOR, default_bounds
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.judgment.graph import without_graph
from buildsys.verify.judgment.limits import Limits
from buildsys.verify.weights.comparison import compare_weights
from buildsys.verify.weights.half_precision import held, rounded_numbers
from buildsys.verify.weights.match import FOLDED, ROUNDED, UNEXPLAINED, Match
from buildsys.verify.weights.matcher import Matcher

Array = NDArray[Any]
NORM = Norm("n", "n.weight", "n.bias", "n.running_mean", "n.running_var")


def weights() -> dict[str, Array]:
    drawn = np.random.default_rng(7)
    made = {
        "c.weight": drawn.standard_normal((8, 5, 3, 3)),
        "c.bias": drawn.standard_normal(8),
        "l.weight": drawn.standard_normal((6, 8)),
        "l.bias": drawn.standard_normal(6),
        "r.bias_ih_l0": drawn.standard_normal(12),
        "r.bias_hh_l0": drawn.standard_normal(12),
        "n.bias": drawn.standard_normal(8),
        "n.running_mean": drawn.standard_normal(8),
        "n.weight": drawn.uniform(0.5, 2, 8),
        "n.running_var": drawn.uniform(0.5, 2, 8),
    }
    return {name: array.astype(np.float32) for name, array in made.items()}


def half(name: str, array: Array, **more: Any) -> Stored:
    return Stored(name, array.astype(np.float16), "float16", **more)


def single(name: str, array: Array, **more: Any) -> Stored:
    return Stored(name, array.astype(np.float32), "float32", **more)


def taken_back(*stored: Stored, norms: bool = True) -> tuple[dict[str, Array], str | None]:
    model = Weights([single(n, a) for n, a in weights().items()], (NORM,) if norms else ())
    matcher = Matcher(model)
    found = [(one, matcher.match(one)) for one in stored]
    again = [
        (one, told if told.kind != UNEXPLAINED else matcher.match_again(one)) for one, told in found
    ]
    return held(again, model)


def scale(own: dict[str, Array]) -> Array:
    return own["n.weight"] / np.sqrt(own["n.running_var"].astype(np.float64) + 1e-5)


def test_what_is_rounded_is_rounded_and_what_is_kept_is_kept() -> None:
    own = weights()
    made, reason = taken_back(
        half("a", own["c.weight"].transpose(0, 2, 3, 1)), single("b", own["c.bias"])
    )
    assert (set(made), reason) == ({"c.weight"}, None)
    assert np.array_equal(made["c.weight"], own["c.weight"].astype(np.float16))
    total = half("t", own["r.bias_ih_l0"] + own["r.bias_hh_l0"])
    made, _ = taken_back(total)
    assert np.allclose(made["r.bias_ih_l0"] + own["r.bias_hh_l0"], total.values, atol=1e-6)
    half_way = half("t", own["l.bias"]), single("u", own["l.bias"])
    assert taken_back(*half_way) == (
        {},
        "`l.bias` is in the artifact twice, once rounded and once not",
    )


def test_a_part_is_put_where_it_belongs_in_the_whole() -> None:
    own = weights()
    part = half("p", own["l.weight"][2:4])
    told = [(part, Match(ROUNDED, ("l.weight[2:4]",)))]
    made, reason = held(told, Weights([single(n, a) for n, a in own.items()]))
    assert reason is None
    expected = own["l.weight"].copy()
    expected[2:4] = part.values
    assert np.array_equal(made["l.weight"], expected)


def test_a_folded_norm_is_taken_out_again() -> None:
    own = weights()
    factors = scale(own)
    kernel = half("k", own["c.weight"] * factors.reshape(-1, 1, 1, 1))
    bias = half("b", (own["c.bias"] - own["n.running_mean"]) * factors + own["n.bias"])
    made, reason = taken_back(kernel, bias)
    assert (set(made), reason) == ({"c.weight", "n.bias"}, None)
    again = made["c.weight"] * factors.reshape(-1, 1, 1, 1)
    assert np.allclose(again, kernel.values.astype(np.float64), rtol=1e-6)
    shift = (own["c.bias"] - own["n.running_mean"]) * factors + made["n.bias"]
    assert np.allclose(shift, bias.values.astype(np.float64), atol=1e-6)


def test_a_shift_that_went_through_a_matrix_before_it_was_rounded() -> None:
    own = weights()
    matrix = half("m", own["l.weight"] * own["n.weight"])
    products = (own["l.weight"] * own["n.bias"]).astype(np.float64)
    bias = single("b", products.sum(axis=1) + own["l.bias"])
    made, reason = taken_back(matrix, bias, norms=False)
    assert (set(made), reason) == ({"l.weight", "l.bias"}, None)
    assert np.allclose(made["l.weight"] @ own["n.bias"] + made["l.bias"], bias.values, atol=1e-5)


def test_what_is_not_known_is_said() -> None:
    own = weights()
    alien = np.random.default_rng(1).standard_normal(40)
    for stored in (half("x", alien), single("x", alien)):
        assert taken_back(stored) == ({}, "no weight of the model explains `x`")
    assert taken_back(half("zeros", np.zeros(4)))[1] is None
    folded = half("k", own["c.weight"] * scale(own).reshape(-1, 1, 1, 1))
    unsure = replace(NORM, eps=(1e-5, 1e-3))
    model = Weights([single(n, a) for n, a in own.items()], (unsure,))
    _, reason = held([(folded, Matcher(model).match(folded))], model)
    assert reason == "the file does not say the epsilon of `n`, which was folded"
    numbers = {
        "six": 6.0,
        "scale": 0.35355,
        "least": -10000.0,
        "eps": 1e-5,
        "all": np.inf,
        "half": 0.5,
    }
    single_numbers = Weights([half(name, np.array(number)) for name, number in numbers.items()])
    assert [name for name, _ in rounded_numbers(single_numbers)] == ["scale", "eps"]
    wider = Weights([*single_numbers.tensors, single("beside", np.array([0.35355]))])
    found = dict(rounded_numbers(wider))
    assert np.isnan(found["scale"])  # Nobody knows which of the two an operation takes.
    assert found["eps"] == np.float16(1e-5)


def test_equal_vectors_are_rounded_alike_unless_some_were_folded() -> None:
    own = {
        "a.gamma": np.full(64, 1e-5, np.float32),
        "b.gamma": np.full(64, 1e-5, np.float32),
        "fc.weight": np.random.default_rng(0).standard_normal((64, 9)).astype(np.float32),
    }
    model = Weights([single(n, a) for n, a in own.items()])
    scale = half("s", own["a.gamma"])
    alone = [(scale, Match(ROUNDED, ("a.gamma",)))]
    made, reason = held(alone, model)
    assert (set(made), reason) == ({"a.gamma", "b.gamma"}, None)
    assert (made["b.gamma"] == np.float16(1e-5)).all()
    kernel = half("k", own["fc.weight"] * own["b.gamma"][:, None])
    both = [*alone, (kernel, Match(FOLDED, ("fc.weight", "a.gamma")))]
    assert held(both, model) == (
        {},
        "`a.gamma` and others are equal, and some of them were folded into layers",
    )


def measurement(error: float | None, at_zeros: float = 0.0, **more: Any) -> dict[str, Any]:
    """A measurement of one output, with a float32 floor of 1e-6."""
    figures = {
        "signal_error": 1e-3,
        "nonfinite_mismatch": 0,
        "nan_count": 0,
        "inf_count": 0,
        "shape_match": True,
        "dtype_match": True,
        "reference_dtype": "float32",
    }
    floor = {"signal_error": 1e-6}
    graph = {
        "outputs": {"y": {"signal_error": error}},
        "edges": [{"case": "zeros", "outputs": {"y": {"signal_error": at_zeros}}}],
        "numbers": [],
    }
    return {
        "outputs": {"y": figures},
        "floor": {"float32": {"y": floor}, "float16": {"y": {"signal_error": 1e-3}}},
        "edges": [{"case": "zeros", "outputs": {}, "steady": {"y": True}}],
        "graph": graph | more,
    }


def graph_gates(record: dict[str, Any]) -> list[Gate]:
    limits = Limits(default_bounds("float16"), precision="float16", graph=GRAPH_ABOVE_FLOOR)
    gates = judge(Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None)
    return [gate for gate in gates if gate.bound == "graph_ratio"]


@pytest.mark.parametrize(
    ("error", "at_zeros", "passed"),
    [
        (2e-5, 0.0, True),
        (4e-5, 0.0, False),
        (2e-5, 9e-4, True),
        (2e-5, 2e-3, False),
        (None, 0.0, False),
    ],
)
def test_the_graph_is_held_to_what_float32_costs(
    error: float | None, at_zeros: float, passed: bool
) -> None:
    (gate,) = graph_gates(measurement(error, at_zeros))
    assert gate.passed == passed
    assert gate.least is None  # No recipe sets it.
    assert (gate.case is not None) == (at_zeros > 1e-3)


def test_a_graph_that_cannot_be_told_from_its_weights_is_not_judged() -> None:
    unknown = measurement(1.0, reason="none of its weights is rounded")
    assert graph_gates(unknown) == []
    assert without_graph(Measurement.of(unknown)) == "none of its weights is rounded"
    beside = measurement(1.0, numbers=["scale"])
    assert graph_gates(beside) == []
    assert without_graph(Measurement.of(beside)) == "single numbers are rounded as well (`scale`)"
    assert graph_gates({**measurement(1.0), "graph": {}}) == []
    assert without_graph(None) is None


def test_roundings_that_are_known_to_be_right_are_what_the_precision_costs() -> None:
    """InceptionNeXt's: an epsilon of 1e-6 is 9.5e-7 in float16, and costs seven times what weights do."""
    limits = Limits({"floor_ratio": 2}, precision="float16")

    def ratio(record: dict[str, Any]) -> Gate:
        gates = judge(
            Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None
        )
        (found,) = (gate for gate in gates if gate.bound == "floor_ratio")
        return found

    record = measurement(1e-6, cost={"y": {"signal_error": 7e-3}})
    record["outputs"]["y"]["signal_error"] = 7e-3
    assert ratio(record).passed
    # Where a single number, or a weight, is not known to be right, its cost is no excuse.
    for unknown in ({"numbers": ["scale"]}, {"reason": "no weight of the model explains `w`"}):
        other = {**record, "graph": record["graph"] | unknown}
        assert ratio(other).value == pytest.approx(7)
    # A graph that is wrong is seen apart from it.
    assert not graph_gates(measurement(4e-5, cost={"y": {"signal_error": 7e-3}}))[0].passed


@pytest.mark.parametrize("floor", [1.0, None])
@pytest.mark.parametrize(("error", "passed"), [(1.9e-3, True), (3.4e-3, False), (None, True)])
def test_a_run_that_rounds_weights_alone_is_held_to_what_that_costs(
    error: float | None, passed: bool, floor: float | None
) -> None:
    """Magika's weights of an epoch ago, in a Core ML package: float16 throughout breaks the model."""
    record = measurement(1.0, reason="no weight of the model explains `w`")
    record["graph"]["unrounded"] = {"y": {"signal_error": error}}
    record["floor"]["float16 weights"] = {"y": {"signal_error": 7e-5}}
    record["floor"]["float16"]["y"] = {"signal_error": floor, "reason": "it overflows"}
    limits = Limits(
        {"signal_error": 0.15, "floor_ratio": 2},
        precision="float16",
        floor_needed=False,
        unrounded=ABOVE_FLOOR["float16"],
    )
    gates = judge(Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None)
    found = [gate for gate in gates if gate.bound == "floor_ratio"]
    assert all(gate.passed for gate in found) == passed
    if not passed:
        (gate,) = found
        assert gate.case == "a run that rounds nothing but the weights"
        assert gate.limit == 4
    # What the numbers of the model's code cost when they are rounded is no fault of its weights.
    record["floor"]["float16 constants"] = {"y": {"signal_error": 9e-4}}
    gates = judge(Measurement.of(record), limits, bytes=1, baseline_bytes=None, latency_ratio=None)
    assert all(gate.passed for gate in gates if gate.bound == "floor_ratio")
    # A recipe that names its own bounds has said what it asks for.
    own = replace(limits, unrounded=None)
    gates = judge(Measurement.of(record), own, bytes=1, baseline_bytes=None, latency_ratio=None)
    assert all(gate.passed for gate in gates if gate.bound == "floor_ratio")


def test_the_comparison_of_weights_writes_what_is_held(tmp_path: Path) -> None:
    own = weights()
    stored = [half("m", own["l.weight"]), half("scale", np.array(0.35355))]
    both = {"": Weights(stored), "o": Weights([single(n, a) for n, a in own.items()])}
    for name, each in both.items():
        save(each, tmp_path / f"{name}w.npz", tmp_path / f"{name}w.json")
    inputs = {
        f"{whose}{key}": tmp_path / f"{name}w.{suffix}"
        for name, whose in (("", "stored"), ("o", "original"))
        for key, suffix in (("", "npz"), ("_names", "json"))
    }
    outputs = {"weights": tmp_path / "weights.json", "held": tmp_path / "held.npz"}
    compare_weights(Request(inputs, outputs, {}, tmp_path))
    told = json.loads(outputs["weights"].read_text())["held"]
    assert told == {"count": 1, "reason": None, "numbers": ["scale"]}
    written = arrays.load(outputs["held"])
    assert set(written) == {"l.weight", "single numbers"}
    assert written["single numbers"].tolist() == [np.float16(0.35355)]
    compare_weights(Request(inputs, {"weights": outputs["weights"]}, {}, tmp_path))
    assert "held" not in json.loads(outputs["weights"].read_text())
