"""Sound artifacts that were rejected once: what cannot be explained, or not to the last bit, is no damage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import DERIVED, Norm, Stored, Weights, plain
from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import judge
from buildsys.verify.weights.budget import Budget
from buildsys.verify.weights.comparison import judged
from buildsys.verify.weights.numbers import one_factor

Array = NDArray[Any]
PARTS = ("weight", "bias", "running_mean", "running_var")


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def flipped(values: Array, *places: int) -> Array:
    made = values.copy()
    for place in places:
        made.reshape(-1).view({2: np.uint16, 4: np.uint32}[values.dtype.itemsize])[place] ^= 1
    return made


def norm(name: str) -> Norm:
    gamma, beta, mean, variance = (f"{name}.{part}" for part in PARTS)
    return Norm(name, gamma, beta, mean, variance, (1e-5,))


def untrained(name: str, size: int) -> dict[str, Array]:
    """A norm as it is before training."""
    ones, zeros = np.ones(size, np.float32), np.zeros(size, np.float32)
    return dict(zip([f"{name}.{part}" for part in PARTS], (ones, zeros, zeros, ones), strict=True))


def model(weights: dict[str, Array], *norms: Norm) -> Weights:
    tensors = [plain(name, values) for name, values in weights.items()]
    return Weights(tensors, norms, frozenset(), frozenset(weights))


def looked(original: Weights, *stored: Stored) -> dict[str, Any]:
    return judged(Weights(stored), original)


def names(found: dict[str, Any]) -> list[str]:
    return [tensor["name"] for tensor in found["altered"]]


# The factor that litert-torch multiplies with lies so near to a number of float32 that one product in
# thousands is the float beside: what LeViT, ResNet, RegNet and GhostNet showed.
NEARLY_FLOAT = 0.999994993235


def test_one_product_in_thousands_is_another_float_where_the_factor_is_no_float() -> None:
    weights = {f"c{i}.weight": drawn(64, 48, 3, 3, seed=i) for i in range(3)}
    every = {**weights}
    for i in range(3):
        every |= untrained(f"n{i}", 64)
    original = model(every, *(norm(f"n{i}") for i in range(3)))
    factor = np.float64(NEARLY_FLOAT)
    made = [(weight * factor).astype(np.float32) for weight in weights.values()]
    near = np.float32(NEARLY_FLOAT)
    apart = sum(int((one != w * near).sum()) for one, w in zip(made, weights.values(), strict=True))
    assert 0 < apart < 200, "the case is none where all or many differ"
    stored = [plain(f"w{i}", one) for i, one in enumerate(made)]
    assert names(looked(original, *stored)) == []
    for place in (7, 5000):
        wrong = [plain("w0", flipped(made[0], place)), *stored[1:]]
        (tensor,) = looked(original, *wrong)["altered"]
        assert (tensor["name"], tensor["count"]) == ("w0", 1)


def test_last_bits_that_differ_all_over_an_artifact_are_its_converters() -> None:
    every = {f"c{i}.weight": drawn(16, 8, 3, 3, seed=i) for i in range(4)}
    for i in range(4):
        every |= untrained(f"n{i}", 16)
    original = model(every, *(norm(f"n{i}") for i in range(4)))
    factor = np.float32(1) / np.sqrt(np.float32(1) + np.float32(1e-5))
    made = [every[f"c{i}.weight"] * factor for i in range(4)]
    stored = [plain(f"w{i}", one) for i, one in enumerate(made)]
    assert names(looked(original, *stored)) == []
    spread = [plain(f"w{i}", flipped(one, 11 * i)) for i, one in enumerate(made)]
    assert names(looked(original, *spread)) == []
    assert names(looked(original, *spread[:1], *stored[1:])) == ["w0"]


@pytest.mark.parametrize("storage", [np.float32, np.float16])
def test_a_norm_whose_gain_is_zero_leaves_zeros(storage: Any) -> None:
    weight = drawn(16, 8, 3, 3)
    every = {"c.weight": weight, **untrained("n", 16)}
    every["n.weight"] = np.zeros(16, np.float32)
    zeros = np.zeros((16, 8, 3, 3), storage)
    found = looked(model(every, norm("n")), plain("w", zeros, readers=("conv w",)))
    assert (names(found), found["missing"], found["traced"]) == ([], [], 1.0)


@pytest.mark.parametrize("storage", [np.float32, np.float16])
def test_a_layer_scale_goes_into_the_convolution_and_its_bias(storage: Any) -> None:
    weight, bias, gain = drawn(24, 16, 1, 1), drawn(24, seed=1), 0.3 * drawn(24, seed=2)
    original = model({"c.weight": weight, "c.bias": bias, "scale": gain})
    kernel, shift = weight * gain[:, None, None, None], bias * gain
    stored = plain("w", kernel.astype(storage)), plain("b", shift.astype(storage))
    found = looked(original, *stored)
    assert (names(found), found["folded"], found["traced"]) == ([], 2, 1.0)
    wrong = shift.astype(storage)
    wrong[5] = 2 * wrong[5]
    assert names(looked(original, stored[0], plain("b", wrong))) == ["b"]


def test_a_convolution_of_one_number_a_channel_before_a_norm_in_float16() -> None:
    """Nearly all its rounded numbers are the weight's: that the others are not is the norm's doing."""
    weight = drawn(256, 1, 1, 1)
    every = {"c.weight": weight, **untrained("n", 256)}
    folded = (weight * np.float32(0.999995)).astype(np.float16)
    assert 0 < (folded != weight.astype(np.float16)).sum() < 16, "the case is none otherwise"
    original = model(every, norm("n"))
    assert names(looked(original, plain("w", folded))) == []
    folded[7] *= np.float16(1.5)
    assert names(looked(original, plain("w", folded))) == ["w"]


def test_in_a_network_of_equal_branches_none_is_taken_for_another() -> None:
    every: dict[str, Array] = {}
    for i in range(40):
        every[f"b{i}.c.weight"] = drawn(32, 1, 3, 3, seed=i)
        every |= {f"b{i}.n.{part}": drawn(32, seed=100 * i + j) for j, part in enumerate(PARTS)}
        every[f"b{i}.n.running_var"] = np.exp(every[f"b{i}.n.running_var"])
    original = model(every, *(norm(f"b{i}.n") for i in range(40)))
    stored = []
    for i in range(40):
        root = np.sqrt(every[f"b{i}.n.running_var"] + np.float32(1e-5))
        factor = every[f"b{i}.n.weight"] / root
        stored.append(plain(f"w{i}", every[f"b{i}.c.weight"] * factor[:, None, None, None]))
    budget = Budget()
    found = judged(Weights(stored), original, budget=budget)
    assert (names(found), found["folded"], found["traced"]) == ([], 40, 1.0)
    spent = Budget().left - budget.left
    assert spent < 40 * 2_000_000, "all with all would be 40 times as many"
    wrong = [*stored[:-1], plain("w39", flipped(stored[-1].values, 100))]
    assert names(looked(original, *wrong)) == ["w39"]


def derived(name: str, values: Array, *of: str, slack: float = 0.0) -> Stored:
    return replace(plain(DERIVED + name, values), made_of=of, slack=slack)


@pytest.mark.parametrize("storage", [np.float32, np.float16])
def test_what_the_model_computes_of_its_weights_is_its_own(storage: Any) -> None:
    weight, gain = drawn(16, 8, 3, 3), drawn(16, seed=1)
    rows = weight.reshape(16, -1)
    standard = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    standard = (standard * gain[:, None]).reshape(weight.shape).astype(np.float32)
    slack = 8 * 2.0**-24 * float(np.abs(standard).max())
    original = model({"c.weight": weight, "c.gain": gain})
    stored = np.nextafter(standard, np.float32(9)).astype(storage)
    assert looked(original, plain("c_weight", stored))["traced"] == 0.0
    made = derived("convolution", standard, "c.weight", "c.gain", slack=slack)
    traced = replace(original, tensors=[*original.tensors, made])
    found = looked(traced, plain("c_weight", stored))
    assert (names(found), found["traced"]) == ([], 1.0)
    stored.reshape(-1)[77] += np.asarray(0.5, storage)
    assert names(looked(traced, plain("c_weight", stored))) == ["c_weight"]


def test_a_weight_that_is_gathered_is_exact_and_one_flipped_bit_is_found() -> None:
    table, index = drawn(49, 4), np.random.default_rng(3).integers(0, 49, (16, 16))
    bias = np.ascontiguousarray(table[index].transpose(2, 0, 1))
    own = model({"table": table})
    original = replace(own, tensors=[*own.tensors, derived("add.1", bias, "table")])
    assert names(looked(original, plain("b", bias))) == []
    assert names(looked(original, plain("b", flipped(bias, 100)))) == ["b"]


def test_a_spent_budget_is_told_and_rejects_nothing() -> None:
    every = {"c.weight": drawn(16, 8, 3, 3), "d.weight": drawn(8, 4), **untrained("n", 16)}
    original = model(every, norm("n"))
    stored = [plain("w", every["c.weight"] * np.float32(0.5)), plain("d", every["d.weight"])]
    found = judged(Weights(stored), original, budget=Budget(left=0))
    assert (names(found), found["untried"], found["exact"]) == ([], 1, 1)
    assert found["traced"] == pytest.approx(32 / (32 + 16 * 72))


def test_one_factor_and_one_rounding_explain_a_row_whatever_the_factor_is() -> None:
    rows, factors = drawn(64, 300), np.random.default_rng(1).uniform(0.2, 3, 64)
    for made in (
        (rows.astype(np.float64) * factors[:, None]).astype(np.float32),
        rows * factors.astype(np.float32)[:, None],
    ):
        off, found = one_factor.off(rows, made)
        assert not off.any()
        assert np.abs(found / factors - 1).max() < 2.0**-23
        for place in (0, 5000, 19199):
            off, _ = one_factor.off(rows, flipped(made, place))
            assert np.flatnonzero(off).tolist() == [place]
    zero = np.zeros((2, 8), np.float32)
    assert not one_factor.off(zero, zero)[0].any()
    assert one_factor.off(zero, zero + 1)[0].all()


def test_a_recipe_may_ask_for_every_number_to_be_traced() -> None:
    weight, table = drawn(12, 7), drawn(9, 9, seed=1)
    found = looked(model({"fc.weight": weight}), plain("w", weight), plain("table", table))
    measurement = {"outputs": {}, "weights": found, "metric": None}

    def gates(measured: dict[str, Any], **bounds: float) -> Gate:
        (gate,) = judge(
            Measurement.of(measured), bounds, bytes=1, baseline_bytes=None, latency_ratio=None
        )
        return gate

    assert gates(measurement).passed
    gate = gates(measurement, weights=1.0)
    assert (gate.bound, gate.value, gate.passed) == ("weights", 1.0, False)
    assert gate.reason == (
        "50.91 % of the numbers traced to the model, and all are asked for: no weight of the model "
        "explains `table` [9, 9]"
    )
    whole = looked(model({"fc.weight": weight}), plain("w", weight))
    assert gates({**measurement, "weights": whole}, weights=1.0).passed
    unread = gates({"outputs": {}, "metric": None}, weights=1.0)
    assert (unread.passed, unread.value) == (False, None)
    assert unread.reason == "nothing reads the weights of this artifact"
