"""A scale or a zero point that is not the one which integers were made with is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Stored, Weights, plain
from buildsys.verify.weights.comparison import judged
from buildsys.verify.weights.numbers.scale_groups import Groups
from tests.scales import exchanged

Array = NDArray[Any]

ROWS, COLUMNS = 6, 128
BLOCK = 32


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


WEIGHT = drawn(ROWS, COLUMNS)
MODEL = Weights([plain("fc.weight", WEIGHT), plain("other", drawn(ROWS, COLUMNS, seed=1))])


def quantized(
    values: Array,
    block: tuple[int, int],
    *,
    bits: int = 8,
    zero: bool = False,
    scales: Any = np.float32,
    signed: bool = False,
) -> Stored:
    """Integers with a scale for each block of rows and columns, repeated as readers do."""
    high, wide = block
    parts = values.reshape(len(values) // high, high, values.shape[1] // wide, wide)
    least, most = parts.min((1, 3)), parts.max((1, 3))
    if zero:
        scale = (np.maximum(most, 0) - np.minimum(least, 0)) / (2**bits - 1)
        shift = np.rint(-np.minimum(least, 0) / scale)
        low, top = 0, 2**bits - 1
    else:
        low, top = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        # As where the farthest number becomes the one integer more, whatever its sign.
        scale = np.where(-least >= most, least, most) / low if signed else None
        if scale is None:
            scale = np.maximum(-least, most) / top
        shift = np.zeros(scale.shape)
    scale = scale.astype(scales)
    every = [np.repeat(np.repeat(part, high, 0), wide, 1) for part in (scale, shift)]
    integers = np.clip(np.rint(values / every[0].astype(np.float64)) + every[1], low, top)
    return Stored(
        "const",
        integers.astype(np.uint8 if zero else np.int8),
        f"{'u' * zero}int{bits}",
        scale=every[0],
        zero_point=every[1].astype(np.int64) if zero else None,
    )


TENSOR, CHANNELS, BLOCKS = (ROWS, COLUMNS), (1, COLUMNS), (1, BLOCK)
MADE: dict[str, Callable[[Array], Stored]] = {
    "tensor": lambda v: quantized(v, TENSOR),
    "tensor-4": lambda v: quantized(v, TENSOR, bits=4),
    "channels": lambda v: quantized(v, CHANNELS),
    "channels-4": lambda v: quantized(v, CHANNELS, bits=4),
    "channels-zero": lambda v: quantized(v + 0.5, CHANNELS, zero=True),
    "blocks-4": lambda v: quantized(v, BLOCKS, bits=4),
    "blocks-half": lambda v: quantized(v, BLOCKS, bits=4, scales=np.float16),
    "blocks-signed": lambda v: quantized(v, BLOCKS, bits=4, signed=True),
    "blocks-zero": lambda v: quantized(v, BLOCKS, bits=4, zero=True),
}


def source(kind: str) -> Array:
    return WEIGHT + np.float32(0.5) if kind == "channels-zero" else WEIGHT


def found(stored: Stored, floats: Array | None, model: Array = WEIGHT) -> dict[str, Any]:
    other = plain("other", drawn(ROWS, COLUMNS, seed=1))
    return judged(
        Weights([stored]),
        Weights([plain("fc.weight", model), other]),
        None if floats is None else Weights([plain("w", floats), other]),
    )


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("known", [True, False])
def test_sound_scales_are_no_alteration(kind: str, known: bool) -> None:
    floats = source(kind)
    told = found(MADE[kind](WEIGHT), floats if known else None, floats)
    assert (told["quantized"], told["altered"]) == (1, [])


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("times", [0.8, 1.25, 1.5])
def test_all_scales_are_others(kind: str, times: float) -> None:
    stored, floats = MADE[kind](WEIGHT), source(kind)
    assert stored.scale is not None
    wrong = replace(stored, scale=(stored.scale * times).astype(stored.scale.dtype))
    (tensor,) = found(wrong, floats, floats)["altered"]
    assert (tensor["name"], tensor["of"]) == ("const", ["fc.weight"])
    count = Groups.of(stored).count
    told = "its integers are of a scale of" if count == 1 else f"{count} of its {count} scales"
    assert told in tensor["why"]


@pytest.mark.parametrize("kind", [kind for kind in MADE if "tensor" not in kind])
@pytest.mark.parametrize("known", [True, False])
def test_two_exchanged_scales_are_named(kind: str, known: bool) -> None:
    stored, floats = MADE[kind](WEIGHT), source(kind)
    groups = Groups.of(stored)
    one, other = int(groups.scale.argmin()), int(groups.scale.argmax())
    wrong = exchanged(stored, "scale", one, other)
    (tensor,) = found(wrong, floats if known else None, floats)["altered"]
    assert f"2 of its {groups.count} scales do not fit the integers" in tensor["why"]
    first = np.unravel_index(groups.labels.tolist().index(min(one, other)), stored.values.shape)
    assert f"from {[int(i) for i in first]} on" in tensor["why"]
    assert tensor["count"] == 2 * stored.values.size // groups.count


@pytest.mark.parametrize("kind", ["channels-zero", "blocks-zero"])
def test_two_exchanged_zero_points_are_named(kind: str) -> None:
    stored = MADE[kind](WEIGHT)
    groups = Groups.of(stored)
    one, other = int(groups.zero.argmin()), int(groups.zero.argmax())
    (tensor,) = found(exchanged(stored, "zero_point", one, other), source(kind))["altered"]
    assert f"2 of its {groups.count} zero points do not fit the integers" in tensor["why"]


@pytest.mark.parametrize("kind", ["blocks-4", "blocks-half"])
def test_scales_that_are_nearly_the_same_are_told_apart_by_their_rule(kind: str) -> None:
    """Integers may fit both: each is the range of its numbers, divided by one number, but for two."""
    stored = MADE[kind](WEIGHT)
    scale = Groups.of(stored).scale
    order = np.argsort(scale)
    ratios = scale[order[1:]] / scale[order[:-1]]
    nearest = int(np.argmin(np.where(ratios > 1.004, ratios, np.inf)))
    assert ratios[nearest] < 1.03
    wrong = exchanged(stored, "scale", int(order[nearest]), int(order[nearest + 1]))
    (tensor,) = found(wrong, WEIGHT)["altered"]
    assert f" of its {len(scale)} scales do" in tensor["why"]


def test_a_factor_that_was_folded_in_before_is_told_from_a_wrong_scale() -> None:
    """A converter may multiply a weight by any constant: only what was quantized tells which."""
    stored = MADE["tensor"](WEIGHT * np.float32(0.125))
    assert stored.scale is not None
    wrong = replace(stored, scale=stored.scale * np.float32(1.25))
    assert found(stored, WEIGHT * np.float32(0.125))["altered"] == []
    assert found(stored, None)["altered"] == []
    (tensor,) = found(wrong, WEIGHT * np.float32(0.125))["altered"]
    assert tensor["of"] == ["fc.weight"]
    assert found(wrong, None)["folded"] == 1


def test_a_quantizer_with_another_rule_changed_no_scale() -> None:
    """It rounds down where a step is nearly full, or evens out the inputs' channels before."""
    stored = MADE["channels"](WEIGHT)
    assert stored.scale is not None
    down = np.floor(WEIGHT / stored.scale + 0.4).astype(np.int8)
    smoothed = MADE["channels"](WEIGHT * np.linspace(0.5, 2, COLUMNS, dtype=np.float32))
    for other in (replace(stored, values=down), smoothed):
        assert found(other, WEIGHT)["altered"] == []


def test_groups_are_the_blocks_that_scales_are_repeated_for() -> None:
    groups = Groups.of(MADE["blocks-4"](WEIGHT))
    assert groups.count == ROWS * COLUMNS // BLOCK
    assert np.array_equal(groups.labels, np.arange(ROWS * COLUMNS) // BLOCK)
    # The last block of a row may be a shorter one.
    scale = np.repeat(drawn(2, 3), 4, 1)[:, :10]
    cut = Groups.of(Stored("c", np.zeros((2, 10), np.int8), "int4", scale=scale))
    assert cut.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 4 + [4] * 4 + [5] * 2
    assert np.array_equal(cut.scale, scale[:, ::4].reshape(-1))
