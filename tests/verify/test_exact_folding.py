"""Folded batch norms are known to the last bit, in both ways in which converters reckon; and epsilons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.stored_weights import Norm, Stored, Weights, load, save
from buildsys.verify.exact_folding import Folded, altered
from buildsys.verify.weights import judged

Array = NDArray[Any]
NORM = Norm("n", "n.weight", "n.bias", "n.running_mean", "n.running_var")
EVERY = ("n.weight", "n.running_var", "n.running_mean", "n.bias")


def model() -> dict[str, Array]:
    """A convolution of 12 channels and the norm after it."""
    drawn = np.random.default_rng(3)
    weights = {
        "c.weight": drawn.standard_normal((12, 5, 3, 3)),
        "c.bias": drawn.standard_normal(12),
    }
    weights |= {name: drawn.standard_normal(12) for name in ("n.bias", "n.running_mean")}
    weights |= {name: drawn.uniform(0.5, 2, 12) for name in ("n.weight", "n.running_var")}
    return {name: array.astype(np.float32) for name, array in weights.items()}


def folded(weights: dict[str, Array], gained: bool) -> tuple[Array, Array]:
    """Weight and bias as converters make them, in float32."""
    root = np.sqrt(weights["n.running_var"] + np.float32(1e-5))
    factor = np.float32(1) / root if gained else weights["n.weight"] / root
    tail = weights["n.weight"] if gained else np.ones(12, np.float32)
    wide = (-1, 1, 1, 1)
    kernel = (weights["c.weight"] * factor.reshape(wide)) * tail.reshape(wide)
    shift = (weights["c.bias"] - weights["n.running_mean"]) * factor * tail + weights["n.bias"]
    return kernel, shift


def flipped(array: Array, place: int) -> Array:
    """The array with the lowest bit of one element flipped."""
    words = array.copy().reshape(-1).view(np.uint32)
    words[place] ^= 1
    return words.view(np.float32).reshape(array.shape)


def stored(name: str, array: Array) -> Stored:
    return Stored(name, array, "float32")


@pytest.mark.parametrize("gained", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_a_lowest_bit_of_a_folded_layer_is_seen(gained: bool, order: tuple[int, ...]) -> None:
    weights = model()
    kernel, shift = folded(weights, gained)
    kernel = np.ascontiguousarray(kernel.transpose(order))
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))

    def looked(kernel: Array, shift: Array) -> Any:
        made = (
            Folded(stored("w", kernel), ("c.weight", "n.weight", "n.running_var")),
            Folded(stored("b", shift), ("c.bias", *EVERY)),
        )
        return altered(made, whole)

    assert looked(kernel, shift) == {}
    for place in (0, 77, 539):
        (wrong,) = looked(flipped(kernel, place), shift).values()
        assert wrong.places == [place]
        assert wrong.expected == [float(kernel.reshape(-1)[place])]
    for place in (0, 11):
        found = looked(kernel, flipped(shift, place))
        assert {key: wrong.places for key, wrong in found.items()} == {1: [place]}
    record = judged(Weights([stored("w", flipped(kernel, 77)), stored("b", shift)]), whole)
    assert [(one["name"], one["count"]) for one in record["altered"]] == [("w", 1)]
    assert judged(Weights([stored("w", kernel), stored("b", shift)]), whole)["altered"] == []


def test_another_way_of_reckoning_is_no_fault() -> None:
    weights = model()
    root = np.sqrt(weights["n.running_var"].astype(np.float64) + 1e-5)
    kernel = weights["c.weight"].astype(np.float64)
    kernel = (kernel * (weights["n.weight"] / root).reshape(-1, 1, 1, 1)).astype(np.float32)
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))
    of = ("c.weight", "n.weight", "n.running_var")
    assert altered([Folded(stored("w", kernel), of)], whole) == {}
    assert altered([Folded(stored("w", flipped(kernel, 5)), of)], whole) == {}


def test_a_lowest_bit_of_a_scaled_weight_is_seen() -> None:
    weights = model()
    whole = Weights([stored(name, array) for name, array in weights.items()])
    scaled = weights["c.bias"] * np.float32(0.3535534)
    assert altered([Folded(stored("b", scaled), ("c.bias",))], whole) == {}
    found = altered([Folded(stored("b", flipped(scaled, 7)), ("c.bias",))], whole)
    assert {key: wrong.places for key, wrong in found.items()} == {0: [7]}


@pytest.mark.parametrize(
    ("given", "fault"),
    [(1e-12, False), (1.0002e-12, False), (2.0**-24, False), (1e-5, True), (None, False)],
)
def test_a_norm_with_another_epsilon_is_altered(given: float | None, fault: bool) -> None:
    gain = model()["n.weight"]
    whole = Weights([Stored("n.weight", gain, "float32", eps=1e-12)])
    record = judged(Weights([Stored("g", gain, "float32", eps=given)]), whole)
    told = [(one["name"], one["of"], one["why"]) for one in record["altered"]]
    why = "its operation adds an epsilon of 1e-05 to the variance, and the model 1e-12"
    assert told == ([("g", ["n.weight"], why)] if fault else [])
    assert record["exact"] == (not fault)


def test_epsilons_survive_the_way_between_steps(tmp_path: Path) -> None:
    gain = Stored("n.weight", model()["n.weight"], "float32", eps=1e-12)
    save(Weights([gain]), tmp_path / "w.npz", tmp_path / "w.json")
    assert [one.eps for one in load(tmp_path / "w.npz", tmp_path / "w.json").tensors] == [1e-12]
