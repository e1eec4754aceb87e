"""Constants of an artifact are explained by the model's weights, and what was altered is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import (
    COLUMNS,
    ROWS,
    Norm,
    Stored,
    Weights,
    along,
    plain,
)
from buildsys.figures.json_form import read
from buildsys.figures.measurement import Measurement
from buildsys.figures.weights import Weights as Compared
from buildsys.verify.judgment.gates import judge
from buildsys.verify.weights.comparison import judged
from buildsys.verify.wording import noted, summary

Array = NDArray[Any]


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def model(*norms: Norm, **weights: Array) -> Weights:
    """A model's weights; `a__b` names `a.b`. All are used by layers of PyTorch's own."""
    named = {name.replace("__", "."): values for name, values in weights.items()}
    return Weights(
        [plain(name, values) for name, values in named.items()],
        norms,
        frozenset(n for n, v in named.items() if v.ndim == 2),
        frozenset(named),
    )


def held(*tensors: Stored) -> Weights:
    return Weights(tensors)


def one(values: Array, **more: Any) -> Weights:
    return held(plain("const", values, **more))


def flipped(values: Array, place: int) -> Array:
    """The same with the lowest bit of one element turned."""
    bits = {1: np.uint8, 2: np.uint16, 4: np.uint32}[values.dtype.itemsize]
    made = values.copy()
    made.reshape(-1).view(bits)[place] ^= 1
    return made


def clean(found: dict[str, Any]) -> bool:
    return not found["altered"] and not found["missing"]


def quantized(values: Array, axis: int = 0) -> Stored:
    """Symmetric int8 with a scale a channel."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    scale = (np.abs(values).max(axis=others) / 127).astype(np.float32)
    wide = along(scale, axis, values.ndim)
    return Stored("const", np.rint(values / wide).astype(np.int8), "int8", scale=wide)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (2, 3, 1, 0)])
def test_a_layout_is_no_alteration(order: tuple[int, ...]) -> None:
    weight = drawn(6, 4, 3, 3)
    found = judged(one(weight.transpose(order)), model(conv__weight=weight))
    assert found["exact"] == 1
    assert clean(found)
    assert found["share_of_bytes"] == 1.0
    told = "1 of 1 explained (1 exact), 100 % of the numbers traced to the model"
    assert summary(read(Compared, found)) == told


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
@pytest.mark.parametrize("storage", [np.float32, np.float16])
def test_one_flipped_bit_is_found(order: tuple[int, ...], storage: Any) -> None:
    weight = drawn(6, 4, 3, 3)
    stored = np.ascontiguousarray(weight.astype(storage).transpose(order))
    altered = flipped(stored, 100)
    found = judged(
        one(altered), model(conv__weight=weight, other__weight=drawn(6, 4, 3, 3, seed=1))
    )
    (tensor,) = found["altered"]
    assert (tensor["of"], tensor["count"]) == (["conv.weight"], 1)
    (element,) = tensor["elements"]
    place = np.unravel_index(100, stored.shape)
    assert element["index"] == [int(i) for i in place]
    assert element["stored"] == altered[place]
    assert np.float32(element["expected"]).astype(storage) == stored[place]


def test_a_flipped_bit_in_a_bias_of_four_is_found() -> None:
    bias = drawn(4)
    found = judged(one(flipped(bias, 2)), model(fc__bias=bias, fc__weight=drawn(4, 9)))
    assert [t["of"] for t in found["altered"]] == [["fc.bias"]]


def test_float16_may_take_the_smallest_number_for_zero() -> None:
    weight = drawn(8, 8)
    weight[0, :2] = 1e-12, -1e-12
    half = weight.astype(np.float16)
    half[0, :2] = np.float16(5.96e-8), np.float16(-5.96e-8)
    found = judged(one(half), model(fc__weight=weight))
    assert (found["rounded"], clean(found)) == (1, True)


@pytest.mark.parametrize("axis", [0, 1])
def test_quantized_integers_are_compared_one_by_one(axis: int) -> None:
    weight = drawn(16, 24)
    stored = quantized(weight, axis)
    original = model(fc__weight=weight, other__weight=drawn(16, 24, seed=1))
    assert judged(held(stored), original)["quantized"] == 1
    steps = weight / np.broadcast_to(stored.scale, weight.shape)  # type: ignore[arg-type]
    clear = np.abs(steps - np.rint(steps)) < 0.4  # A tie may be rounded either way.
    for place in np.flatnonzero(clear)[::37].tolist():
        altered = replace(stored, values=flipped(stored.values, place))
        (tensor,) = judged(held(altered), original)["altered"]
        assert tensor["elements"][0]["index"] == [place // 24, place % 24]


def test_asymmetric_integers_with_a_half_precision_scale() -> None:
    weight = drawn(12, 32) + 0.3
    low, high = weight.min(1, keepdims=True), weight.max(1, keepdims=True)
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    stored = Stored(
        "const",
        np.clip(np.rint(weight / scale) + zero, 0, 255).astype(np.uint8),
        "uint8",
        scale=scale.astype(np.float16),
        zero_point=zero.astype(np.uint8),
    )
    assert judged(held(stored), model(fc__weight=weight))["quantized"] == 1


def test_the_scale_of_one_channel_is_another() -> None:
    weight = drawn(16, 24)
    stored = quantized(weight)
    assert stored.scale is not None
    scale = stored.scale.copy()
    scale[3] *= 2
    found = judged(held(replace(stored, scale=scale)), model(fc__weight=weight))
    (tensor,) = found["altered"]
    assert {element["index"][0] for element in tensor["elements"]} == {3}


def gates(weight: Array, order: tuple[int, ...]) -> Array:
    parts = np.split(weight, len(order))
    return np.concatenate([parts[i] for i in order])


def recurrent() -> dict[str, Array]:
    return {
        "lstm__weight_ih_l0": drawn(32, 6),
        "lstm__weight_hh_l0": drawn(32, 8, seed=1),
        "lstm__bias_ih_l0": drawn(32, seed=2),
        "lstm__bias_hh_l0": drawn(32, seed=3),
    }


ONNX = (0, 3, 1, 2)


def test_gates_in_the_order_of_the_operation() -> None:
    weights = recurrent()
    both = np.concatenate(
        [gates(weights["lstm__bias_ih_l0"], ONNX), gates(weights["lstm__bias_hh_l0"], ONNX)]
    )
    tensors = held(
        plain("W", gates(weights["lstm__weight_ih_l0"], ONNX)[None], readers=("LSTM lstm",)),
        plain("R", gates(weights["lstm__weight_hh_l0"], ONNX)[None], readers=("LSTM lstm",)),
        plain("B", both[None], readers=("LSTM lstm",)),
    )
    found = judged(tensors, model(**weights))
    assert (found["rearranged"], clean(found)) == (3, True)


def test_a_permuted_gate_is_found() -> None:
    weights = recurrent()
    wrong = gates(weights["lstm__weight_ih_l0"], (0, 3, 2, 1))[None]
    found = judged(held(plain("W", wrong, readers=("LSTM lstm",))), model(**weights))
    (tensor,) = found["altered"]
    assert "order (0, 3, 2, 1)" in tensor["why"]


def test_biases_are_added_and_their_gates_reordered() -> None:
    weights = recurrent()
    total = weights["lstm__bias_ih_l0"] + weights["lstm__bias_hh_l0"]
    found = judged(one(gates(total, (1, 0, 2, 3))[None]), model(**weights))
    assert (found["rearranged"], clean(found)) == (1, True)


def test_a_flipped_bit_in_reordered_gates_is_found() -> None:
    weights = recurrent()
    wrong = flipped(gates(weights["lstm__weight_hh_l0"], ONNX), 77)[None]
    (tensor,) = judged(one(wrong), model(**weights))["altered"]
    assert (tensor["of"], tensor["count"]) == (["lstm.weight_hh_l0"], 1)
    assert tensor["elements"][0]["index"] == [0, 77 // 8, 77 % 8]


def test_a_flipped_bit_in_the_sum_of_two_biases_is_found_at_the_edge_of_a_gate() -> None:
    weights = recurrent()
    total = gates(weights["lstm__bias_ih_l0"] + weights["lstm__bias_hh_l0"], (1, 0, 2, 3))
    for place in (0, 8, 31):
        (tensor,) = judged(one(flipped(total, place)[None]), model(**weights))["altered"]
        assert tensor["of"] == ["lstm.bias_ih_l0 + lstm.bias_hh_l0"]
        assert [element["index"] for element in tensor["elements"]] == [[0, place]]


def test_a_flipped_bit_that_gives_a_number_of_another_bias_is_found() -> None:
    weights = {"a__bias": drawn(24), "b__bias": drawn(24, seed=1)}
    stored = flipped(weights["a__bias"].astype(np.float16), 9)
    weights["b__bias"][3] = stored[9]
    (tensor,) = judged(one(stored), model(**weights))["altered"]
    assert (tensor["of"], tensor["count"]) == (["a.bias"], 1)


def test_quantized_gates() -> None:
    weights = recurrent()
    stored = quantized(gates(weights["lstm__weight_ih_l0"], (0, 1, 3, 2)))
    assert judged(held(stored), model(**weights))["quantized"] == 1


def test_parts_and_what_is_joined_of_parts() -> None:
    weight = drawn(24, 8)
    joined = np.concatenate([drawn(5, 7, seed=4), drawn(3, 7, seed=5)])
    original = model(
        attention__in_proj_weight=weight,
        a__weight=drawn(5, 7, seed=4),
        b__weight=drawn(3, 7, seed=5),
    )
    found = judged(held(plain("q", weight[:8].T.copy()), plain("ab", joined)), original)
    assert (found["rearranged"], clean(found)) == (2, True)


def test_a_flipped_bit_in_a_part_is_found() -> None:
    weight = drawn(24, 8)
    wrong = flipped(weight[8:16].T.copy(), 11)
    (tensor,) = judged(one(wrong), model(attention__in_proj_weight=weight))["altered"]
    assert tensor["count"] == 1


def test_exchanged_rows_are_found() -> None:
    weight = drawn(10, 6)
    wrong = weight.copy()
    wrong[[1, 8]] = wrong[[8, 1]]
    (tensor,) = judged(one(wrong), model(fc__weight=weight))["altered"]
    assert "2 of its slices are exchanged: at 1 is that of 8" in tensor["why"]


def test_exchanged_rows_of_a_part_are_found() -> None:
    weight = drawn(24, 8)
    order = np.arange(8, 16)
    assert clean(judged(one(weight[order]), model(gru__weight_ih_l0=weight)))
    order[[2, 5]] = order[[5, 2]]
    (tensor,) = judged(one(weight[order]), model(gru__weight_ih_l0=weight))["altered"]
    assert (tensor["of"], tensor["count"]) == (["gru.weight_ih_l0"], 16)


def test_a_square_matrix_lies_as_its_operation_takes_it() -> None:
    weight = drawn(8, 8)
    original = model(fc__weight=weight)
    for stored, orientation, right in (
        (weight, ROWS, True),
        (weight.T.copy(), COLUMNS, True),
        (weight, COLUMNS, False),
        (weight.T.copy(), ROWS, False),
        (weight.T.copy(), None, True),
    ):
        found = judged(one(stored, orientation=orientation), original)
        assert clean(found) is right
    assert "transposed" in judged(one(weight, orientation=COLUMNS), original)["altered"][0]["why"]


NORM = Norm("bn", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", (1e-5,))


def convolution() -> dict[str, Array]:
    return {
        "conv__weight": drawn(12, 5, 3, 3),
        "conv__bias": 0.1 * drawn(12, seed=1),
        "bn__weight": 1 + 0.2 * drawn(12, seed=2),
        "bn__bias": 0.1 * drawn(12, seed=3),
        "bn__running_mean": 0.1 * drawn(12, seed=4),
        "bn__running_var": np.exp(drawn(12, seed=5)),
    }


def folded(arithmetic: Any = np.float32, eps: float = 1e-5) -> tuple[Array, Array]:
    w, b, g, t, m, v = (a.astype(arithmetic) for a in convolution().values())
    factor = g / np.sqrt(v + arithmetic(eps))
    weight = w * factor[:, None, None, None]
    return weight.astype(np.float32), ((b - m) * factor + t).astype(np.float32)


@pytest.mark.parametrize("arithmetic", [np.float32, np.float64])
@pytest.mark.parametrize("storage", [np.float32, np.float16])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_a_folded_batch_norm(arithmetic: Any, storage: Any, order: tuple[int, ...]) -> None:
    weight, bias = (part.astype(storage) for part in folded(arithmetic))
    tensors = held(plain("w", weight.transpose(order)), plain("b", bias))
    found = judged(tensors, model(NORM, **convolution()))
    assert (found["folded"], clean(found)) == (2, True)


@pytest.mark.parametrize("storage", [np.float32, np.float16])
def test_one_number_of_a_folded_weight_off_by_a_thousandth(storage: Any) -> None:
    weight, bias = folded()
    for number, array in enumerate((weight, bias)):
        wrong = array.astype(storage)
        flat = wrong.reshape(-1)
        place = int(np.argmax(np.abs(flat)))
        flat[place] *= 1 + (1e-3 if storage is np.float32 else 4e-3)
        found = judged(one(wrong), model(NORM, **convolution()))
        (tensor,) = found["altered"]
        assert tensor["count"] == 1
        assert tensor["of"][0] == ("conv.weight", "conv.bias")[number]


def test_a_flipped_bit_in_a_folded_weight_is_found() -> None:
    """Converters multiply in float32 by one float32 a channel: that is found again, bit by bit."""
    weight, _ = folded()
    found = judged(one(flipped(weight, 123)), model(NORM, **convolution()))
    assert [t["count"] for t in found["altered"]] == [1]


def test_a_quantized_folded_weight() -> None:
    weight, _ = folded()
    stored = quantized(weight)
    original = model(NORM, **convolution())
    assert clean(judged(held(stored), original))
    assert judged(held(stored), original)["folded"] == 1
    altered = replace(stored, values=stored.values.copy())
    altered.values.reshape(-1)[50] ^= 8
    assert [t["count"] for t in judged(held(altered), original)["altered"]] == [1]


def test_a_norm_as_a_factor_and_a_shift() -> None:
    w = convolution()
    factor = w["bn__weight"] / np.sqrt(w["bn__running_var"] + np.float32(1e-5))
    shift = w["bn__bias"] - w["bn__running_mean"] * factor
    tensors = held(plain("mul", factor[None, :, None, None]), plain("add", shift[:, None, None]))
    assert judged(tensors, model(NORM, **w))["folded"] == 2


def test_a_gain_goes_into_the_layer_after_it_with_its_shift() -> None:
    gain, shift = 1 + 0.2 * drawn(16, seed=1), 0.1 * drawn(16, seed=2)
    weight, bias = drawn(24, 16, seed=3), drawn(24, seed=4)
    original = model(ln__weight=gain, ln__bias=shift, fc__weight=weight, fc__bias=bias)
    tensors = held(plain("w", weight * gain), plain("b", weight @ shift + bias))
    found = judged(tensors, original)
    assert (found["folded"], clean(found)) == (2, True)


def test_a_bias_goes_through_the_layer_after_it() -> None:
    first, weight, bias = drawn(16, seed=2), drawn(48, 16, seed=3), drawn(48, seed=4)
    original = model(one__bias=first, two__weight=weight, two__bias=bias, other__bias=drawn(16))
    moved = ((weight * first).astype(np.float64).sum(axis=1) + bias).astype(np.float32)

    def looked(moved: Array, reader: str = "FC 2") -> dict[str, Any]:
        tensors = held(plain("w", weight, readers=("FC 2",)), plain("b", moved, readers=(reader,)))
        return judged(tensors, original)

    assert (looked(moved)["folded"], clean(looked(moved))) == (1, True)
    (tensor,) = looked(flipped(moved, 5))["altered"]
    assert tensor["of"] == ["two.bias", "two.weight", "one.bias"]
    assert looked(moved, "FC 3")["folded"] == 0  # It is not known to belong to the matrix.


def test_a_constant_added_to_a_bias() -> None:
    """`relu6(x + 3)` after a convolution: the 3 goes into its bias."""
    bias = drawn(16)
    found = judged(one(bias + np.float32(3)), model(conv__bias=bias))
    assert (found["folded"], clean(found)) == (1, True)


@pytest.mark.parametrize("shape", [(12, 7), (24,)])
def test_a_factor_that_nobody_knows_is_no_evidence_but_what_it_leaves_out_is(
    shape: tuple[int, ...],
) -> None:
    weight = drawn(*shape)
    scaled = (weight * np.float32(1.01)).astype(np.float32)
    found = judged(one(scaled), model(fc__weight=weight))
    assert (found["folded"], clean(found)) == (1, True)
    (tensor,) = judged(one(flipped(scaled, 5)), model(fc__weight=weight))["altered"]
    assert tensor["count"] == 1


@pytest.mark.parametrize("shape", [(64, 48), (640,)])
@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_weights_of_an_epoch_ago_are_not_traced(shape: tuple[int, ...], storage: str) -> None:
    """They are the weight's to one part in a hundred, which no rounding is."""
    weight = drawn(*shape)
    ago = weight + np.float32(0.01) * drawn(*shape, seed=1)
    found = judged(one(ago.astype(storage)), model(fc__weight=weight))
    assert (found["folded"], found["traced"]) == (0, 0.0)
    assert found["altered"] == []


def test_factors_in_float16_are_rounded_at_most_twice() -> None:
    weight = drawn(64, 48)
    scaled = weight.astype(np.float16) * np.float16(1.37)
    found = judged(one(scaled), model(fc__weight=weight))
    assert (found["folded"], found["traced"]) == (1, 1.0)


def test_what_stands_where_a_weight_belongs_is_told_and_is_no_evidence() -> None:
    weight, bias = drawn(12, 7), drawn(12, seed=1)
    original = model(fc__weight=weight, fc__bias=bias)
    readers = ("Gemm /fc/Gemm",)
    zeroed = plain("w", np.zeros((12, 7), np.float32), readers=readers, orientation=ROWS)
    found = judged(held(zeroed, plain("b", bias, readers=readers)), original)
    assert [(t["of"], t["why"]) for t in found["missing"]] == [
        (["fc.weight"], "all of its numbers are the same")
    ]
    dropped = plain("b", np.zeros(12, np.float32), readers=readers)
    found = judged(held(plain("w", weight, readers=readers), dropped), original)
    assert [t["of"] for t in found["missing"]] == [["fc.bias"]]
    assert found["traced"] == weight.size / (weight.size + bias.size)
    measurement = {"outputs": {}, "weights": found, "metric": None}
    (gate,) = judge(
        Measurement.of(measurement), {}, bytes=1, baseline_bytes=None, latency_ratio=None
    )
    assert gate.passed
    (note,) = noted(read(Compared, found))
    assert "`b` [12]" in note


def test_a_stale_weight_is_missing() -> None:
    original = model(fc__weight=drawn(12, 7), fc__bias=drawn(12, seed=1))
    stale = plain("c", drawn(12, 7, seed=9), readers=("Gemm /fc/Gemm",), orientation=ROWS)
    found = judged(held(stale), original)
    assert [t["of"] for t in found["missing"]] == [["fc.weight"]]
    unknown = replace(original, plain=frozenset())
    assert clean(judged(held(stale), unknown))
    assert not clean(judged(held(replace(stale, name="fc_weight")), unknown))


def test_what_converters_make_themselves_is_no_fault() -> None:
    """Zeros for a bias that is not there, a table of positions, a mask, weights that nothing uses."""
    original = model(fc__weight=drawn(12, 7), unused__weight=drawn(9, 9, seed=1))
    tensors = held(
        plain("w", drawn(12, 7), readers=("linear fc",)),
        plain("b", np.zeros(12, np.float32), readers=("linear fc",)),
        plain("table", np.sin(np.arange(81, dtype=np.float32)).reshape(9, 9), readers=("add x",)),
        plain("mask", np.triu(np.full((9, 9), -np.inf, np.float32), 1), readers=("add y",)),
        plain("two", np.array(2, np.float32)),
    )
    found = judged(tensors, original)
    assert clean(found)
    assert [t["name"] for t in found["unexplained"]] == ["table", "mask"]
    (note,) = noted(read(Compared, found))
    assert "`table` [9, 9], `mask` [9, 9]" in note


def test_tied_weights_are_one_weight_twice() -> None:
    weight = drawn(20, 8)
    tensors = held(plain("embedding", weight), plain("head", weight.T.copy()))
    found = judged(tensors, model(embedding__weight=weight))
    assert (found["exact"], clean(found)) == (2, True)


def test_palettes_and_sparse_weights() -> None:
    weight = drawn(16, 16)
    levels = np.quantile(weight, np.linspace(0, 1, 16)).astype(np.float16)
    nearest = levels[np.abs(weight[..., None] - levels.astype(np.float32)).argmin(-1)]
    pruned = np.where(np.abs(weight) > 0.6, weight, 0).astype(np.float16)
    tensors = held(
        Stored("palette", nearest, "palette", levels=16), Stored("sparse", pruned, "sparse")
    )
    found = judged(tensors, model(fc__weight=weight))
    assert (found["quantized"], clean(found)) == (2, True)
    wrong = nearest.copy()
    wrong[3, 5] = levels[(int(np.argmin(np.abs(levels - nearest[3, 5]))) + 4) % 16]
    wrong_one = replace(tensors.tensors[0], values=wrong)
    (tensor,) = judged(held(wrong_one), model(fc__weight=weight))["altered"]
    assert (tensor["count"], tensor["elements"][0]["index"]) == (1, [3, 5])


def test_an_outlier_of_a_palette_may_be_far_beyond_its_end() -> None:
    weight = drawn(16, 16)
    weight[2, 3] = 9.0
    levels = np.linspace(-1, 1, 16).astype(np.float16)
    nearest = levels[np.abs(weight[..., None] - levels.astype(np.float32)).argmin(-1)]
    palette = Stored("palette", nearest, "palette", levels=16)
    assert clean(judged(held(palette), model(fc__weight=weight)))
    # But what the end stands for lies outside, not inside.
    wrong = nearest.copy()
    wrong[np.unravel_index(np.abs(weight).argmin(), weight.shape)] = levels[-1]
    found = judged(held(replace(palette, values=wrong)), model(fc__weight=weight))
    assert [tensor["count"] for tensor in found["altered"]] == [1]


def test_the_gate_names_the_tensor_the_element_and_both_values() -> None:
    weight = drawn(6, 5)
    weights = judged(one(flipped(weight, 7)), model(body__fc__weight=weight))
    measurement = {"outputs": {}, "weights": weights, "metric": None}
    (gate,) = judge(
        Measurement.of(measurement), {}, bytes=1, baseline_bytes=None, latency_ratio=None
    )
    assert (gate.bound, gate.value, gate.passed) == ("weights", 1.0, False)
    expected = f"{weight[1, 2]:.9g}"
    assert gate.reason is not None
    assert gate.reason.startswith(
        "`const`, which is `body.fc.weight` of the model: 1 element of it"
    )
    assert gate.reason.endswith(f"and not {expected}")
    assert "at [1, 2] it is " in gate.reason
    healthy = judged(one(weight), model(body__fc__weight=weight))
    (gate,) = judge(
        Measurement.of({**measurement, "weights": healthy}),
        {},
        bytes=1,
        baseline_bytes=None,
        latency_ratio=None,
    )
    assert (gate.passed, gate.reason) == (True, None)


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_a_norm_that_was_never_trained_changes_next_to_nothing(storage: str) -> None:
    """Its factor is 0.999995: most numbers are the weight's own once they are rounded."""
    weight, bias = drawn(16, 8, 3, 3), drawn(16, seed=1)
    ones, zeros = np.ones(16, np.float32), np.zeros(16, np.float32)
    original = model(
        NORM,
        conv__weight=weight,
        conv__bias=bias,
        bn__weight=ones,
        bn__bias=zeros,
        bn__running_mean=zeros,
        bn__running_var=ones,
    )
    factor = np.float32(1) / np.sqrt(ones + np.float32(1e-5))
    folded = weight * factor[:, None, None, None]
    made = quantized(folded) if storage == "int8" else plain("w", folded.astype(storage))
    tensors = held(made, plain("b", (bias * factor).astype(np.float32)))
    assert clean(judged(tensors, original))
    wrong = made.values.copy()
    wrong.reshape(-1)[77] = wrong.reshape(-1)[78]
    assert [t["count"] for t in judged(held(replace(made, values=wrong)), original)["altered"]] == [
        1
    ]


def test_a_quantizer_with_another_rule_altered_nothing() -> None:
    """Rounding down where a step is nearly full: the errors are all over the tensor."""
    weight = drawn(24, 32)
    stored = quantized(weight)
    assert stored.scale is not None
    steps = weight / stored.scale
    other = replace(stored, values=np.floor(steps + 0.4).astype(np.int8))
    found = judged(held(other), model(fc__weight=weight))
    assert (found["quantized"], clean(found)) == (1, True)


def test_a_channel_that_is_not_what_the_norm_gives_is_found() -> None:
    weight, _ = folded()
    wrong = weight.copy()
    wrong[3] *= np.float32(1.01)
    (tensor,) = judged(one(wrong), model(NORM, **convolution()))["altered"]
    assert tensor["count"] == wrong[3].size
    assert {element["index"][0] for element in tensor["elements"]} == {3}


def test_a_quantizer_may_correct_biases() -> None:
    """OpenVINO's moves them by the mean error of the layer: nothing explains them, and nothing has to."""
    weight, bias = drawn(16, 24), drawn(16, seed=1)
    original = model(fc__weight=weight, fc__bias=bias)
    corrected = plain("b", (bias + 0.01 * drawn(16, seed=2)).astype(np.float32))
    found = judged(held(quantized(weight), corrected), original)
    assert clean(found)
    assert [t["name"] for t in found["unexplained"]] == ["b"]
    assert found["traced"] == weight.size / (weight.size + bias.size)


@pytest.mark.parametrize("shape", [(64, 32, 1, 1), (64, 48)])
def test_a_layer_scale_that_takes_a_weight_to_the_least_numbers_of_float16(
    shape: tuple[int, ...],
) -> None:
    """FastViT's: 1e-5, folded into the layer before. Rounding leaves a dozen steps of 6e-8."""
    weight = drawn(*shape) * np.float32(0.02)
    gamma = np.float32(1e-5) * (1 + drawn(shape[0]) / 10)
    known = model(fc__weight=weight, scale__gamma=gamma.reshape(-1, *[1] * (len(shape) - 2)))
    wide = gamma.reshape(-1, *[1] * (len(shape) - 1))
    stored = plain("const", (weight * wide).astype(np.float16))
    assert len(np.unique(stored.values)) < 40
    found = judged(held(stored), known)
    assert (found["folded"], found["traced"]) == (1, 1.0)
    # Another weight's numbers are not explained, however few bits they have.
    other = plain("const", (drawn(*shape, seed=1) * 0.02 * wide).astype(np.float16))
    assert judged(held(other), known)["traced"] == 0
