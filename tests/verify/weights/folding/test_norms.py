"""Folded batch norms are known to the last bit, in both ways in which converters reckon; and epsilons."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Norm, Stored, Weights, load, save
from buildsys.verify.weights.comparison import judged
from buildsys.verify.weights.folding import norms
from buildsys.verify.weights.folding.norms import altered
from buildsys.verify.weights.folding.shifts import Folded
from buildsys.verify.weights.numbers import one_factor

Array = NDArray[Any]
NORM = Norm("n", "n.weight", "n.bias", "n.running_mean", "n.running_var")
EVERY = ("n.weight", "n.running_var", "n.running_mean", "n.bias")


def model(channels: int = 12) -> dict[str, Array]:
    """A convolution and the norm after it."""
    drawn = np.random.default_rng(3)
    weights = {
        "c.weight": drawn.standard_normal((channels, 5, 3, 3)),
        "c.bias": drawn.standard_normal(channels),
    }
    weights |= {name: drawn.standard_normal(channels) for name in ("n.bias", "n.running_mean")}
    weights |= {name: drawn.uniform(0.5, 2, channels) for name in ("n.weight", "n.running_var")}
    return {name: array.astype(np.float32) for name, array in weights.items()}


def folded(weights: dict[str, Array], gained: bool) -> tuple[Array, Array]:
    """Weight and bias as converters make them, in float32."""
    root = np.sqrt(weights["n.running_var"] + np.float32(1e-5))
    factor = np.float32(1) / root if gained else weights["n.weight"] / root
    tail = weights["n.weight"] if gained else np.ones_like(root)
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


def test_axes_of_one_element_are_tried_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of one by one has 12 orders that place all elements alike: each was looked at, for seconds."""
    weights = model()
    weights["c.weight"] = weights["c.weight"][:, :, :1, :1]
    kernel, _ = folded(weights, gained=False)
    whole = Weights([stored(name, array) for name, array in weights.items()])
    looks: list[Array] = []

    def off(rows: Array, got: Array) -> tuple[Array, Array]:
        looks.append(rows)
        return one_factor.off(rows, got)

    monkeypatch.setattr(norms, "one_factor", SimpleNamespace(off=off))
    for turned in (kernel, kernel.transpose(2, 3, 0, 1)):
        looks.clear()
        made = Folded(stored("w", flipped(turned, 5)), ("c.weight", "n.weight"))
        (wrong,) = altered([made], whole).values()
        assert wrong.places == [5]
        assert [len(rows) for rows in looks] == [12]


def test_a_factor_in_float64_is_no_fault_and_hides_none() -> None:
    weights = model()
    root = np.sqrt(weights["n.running_var"].astype(np.float64) + 1e-5)
    kernel = weights["c.weight"].astype(np.float64)
    kernel = (kernel * (weights["n.weight"] / root).reshape(-1, 1, 1, 1)).astype(np.float32)
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))
    of = ("c.weight", "n.weight", "n.running_var")
    assert altered([Folded(stored("w", kernel), of)], whole) == {}
    (wrong,) = altered([Folded(stored("w", flipped(kernel, 5)), of)], whole).values()
    assert wrong.places == [5]


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


@pytest.mark.parametrize(("given", "fault"), [(1e-6, False), (1e-5, False), (1e-3, True)])
def test_norms_with_equal_gains_may_have_the_epsilon_of_any(given: float, fault: bool) -> None:
    """PVT v2: 1e-5 where patches are embedded, 1e-6 in its blocks, and all gains are one."""
    ones = np.ones(16, np.float32)
    both = [Stored(name, ones, "float32", eps=eps) for name, eps in (("a", 1e-5), ("b", 1e-6))]
    record = judged(Weights([Stored("g", ones, "float32", eps=given)]), Weights(both))
    assert bool(record["altered"]) is fault
    if fault:
        why = "its operation adds an epsilon of 0.001 to the variance, and the model 1e-05 or 1e-06"
        assert record["altered"][0]["why"] == why
    # A norm of somebody's own, whose epsilon nobody knows.
    more = [*both, Stored("c", ones, "float32")]
    record = judged(Weights([Stored("g", ones, "float32", eps=given)]), Weights(more))
    assert record["altered"] == []


def test_epsilons_survive_the_way_between_steps(tmp_path: Path) -> None:
    gain = Stored("n.weight", model()["n.weight"], "float32", eps=1e-12)
    save(Weights([gain]), tmp_path / "w.npz", tmp_path / "w.json")
    assert [one.eps for one in load(tmp_path / "w.npz", tmp_path / "w.json").tensors] == [1e-12]


def looked_by_formula(kernel: Stored, shift: Array) -> list[tuple[str, list[list[int]]]]:
    """What is altered of a layer that is kept in float16, and of its bias in float32."""
    whole = Weights([stored(name, array) for name, array in model(len(shift)).items()], (NORM,))
    record = judged(Weights([kernel, stored("b", shift)]), whole)
    return [(one["name"], [e["index"] for e in one["elements"]]) for one in record["altered"]]


@pytest.mark.parametrize("gained", [False, True])
def test_a_lowest_bit_of_a_bias_beside_a_narrower_layer_is_seen(gained: bool) -> None:
    kernel, shift = folded(model(144), gained)
    half = Stored("w", kernel.astype(np.float16), "float16")
    assert looked_by_formula(half, shift) == []
    found = [looked_by_formula(half, flipped(shift, place)) for place in range(144)]
    seen = sum(found[place] == [("b", [[place]])] for place in range(144))
    # Of the root there are two choices in one of the formulas, which hides some flips.
    assert seen == 144 if gained else seen > 90
    assert all(one in ([], [("b", [[place]])]) for place, one in enumerate(found))


def test_a_lowest_bit_of_a_folded_layer_in_float16_is_seen() -> None:
    kernel, shift = folded(model(48), gained=False)
    half = kernel.astype(np.float16)
    for place in range(0, half.size, 54):
        wrong = half.copy()
        wrong.reshape(-1).view(np.uint16)[place] ^= 1
        ((name, _),) = looked_by_formula(Stored("w", wrong, "float16"), shift)
        assert name == "w"


def test_biases_by_a_formula_of_nobody_s_are_no_fault() -> None:
    weights = model(48)
    root = np.sqrt(weights["n.running_var"].astype(np.float64) + 1e-5)
    factor = weights["n.weight"] / root
    kernel = weights["c.weight"] * factor.reshape(-1, 1, 1, 1)
    shift = (weights["c.bias"] - weights["n.running_mean"]) * factor + weights["n.bias"]
    half = Stored("w", kernel.astype(np.float16), "float16")
    assert looked_by_formula(half, shift.astype(np.float32)) == []


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_lowest_bit_of_a_bias_that_a_shift_went_through_is_seen(storage: str) -> None:
    drawn = np.random.default_rng(5)
    weights = {
        "l.weight": drawn.standard_normal((40, 24)),
        "l.bias": drawn.standard_normal(40),
        "n.weight": drawn.uniform(0.5, 2, 24),
        "n.bias": drawn.standard_normal(24),
    }
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    whole = Weights([stored(name, array) for name, array in weights.items()])
    matrix = Stored("w", (weights["l.weight"] * weights["n.weight"]).astype(storage), storage)
    products = (weights["l.weight"] * weights["n.bias"]).astype(np.float64)
    bias = (products.sum(axis=1) + weights["l.bias"]).astype(np.float32)

    def looked(bias: Array) -> list[tuple[str, list[list[int]]]]:
        record = judged(Weights([matrix, stored("b", bias)]), whole)
        assert record["unexplained"] == []
        return [(one["name"], [e["index"] for e in one["elements"]]) for one in record["altered"]]

    assert looked(bias) == []
    for place in (0, 10, 39):
        assert looked(flipped(bias, place)) == [("b", [[place]])]
    # Summed in float32 it is off here and there, which is no fault.
    assert looked(weights["l.weight"] @ weights["n.bias"] + weights["l.bias"]) == []


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("of", [("n.weight", "n.running_var"), ("n.running_var",)])
def test_a_lowest_bit_of_a_norm_s_own_factors_is_seen(of: tuple[str, ...], storage: str) -> None:
    weights = model(200)
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))
    variance = weights["n.running_var"]
    gain = weights["n.weight"] if len(of) > 1 else np.ones_like(variance)
    factors = gain / np.sqrt(variance + np.float32(1e-5))

    def looked(array: Array) -> Any:
        shape = (1, 200, 1, 1)
        return altered([Folded(Stored("s", array.reshape(shape), storage), of)], whole)

    sound = factors.astype(storage)
    assert looked(sound) == {}
    words = sound.view(f"uint{8 * sound.itemsize}").copy()
    words[7] ^= 1
    found = looked(words.view(storage))
    assert found[0].places == [7]
    assert np.float32(found[0].expected[0]) == factors[7]
    # Another way of reckoning is no fault, and what is off of it is not known.
    other = (gain.astype(np.float64) / np.sqrt(variance.astype(np.float64) + 1e-5)).astype(storage)
    assert looked(other) == {}


@pytest.mark.parametrize(("channels", "fault"), [(40, False), (200, True)])
def test_few_factors_do_not_tell_a_damaged_one_from_a_root_that_mkl_rounds(
    channels: int, fault: bool
) -> None:
    weights = model(channels)
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))
    variance = weights["n.running_var"] + np.float32(1e-5)
    exact, root = np.sqrt(variance.astype(np.float64)), np.sqrt(variance)
    root[0] = np.nextafter(root[0], np.float32(0 if root[0] > exact[0] else np.inf))
    factors = weights["n.weight"] / root
    assert factors[0] != (weights["n.weight"] / np.sqrt(variance))[0]
    of = ("n.weight", "n.running_var")
    assert bool(altered([Folded(stored("s", factors), of)], whole)) is fault


def test_the_factors_beside_it_tell_how_a_shift_was_reckoned() -> None:
    weights = model(200)
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))
    variance = weights["n.running_var"] + np.float32(1e-5)
    factors = weights["n.weight"] / np.sqrt(variance)
    shift = weights["n.bias"] - weights["n.running_mean"] * factors
    # A number that the root on the other side would give, too.
    exact, nearest = np.sqrt(variance.astype(np.float64)), np.sqrt(variance)
    other = np.nextafter(nearest, np.where(nearest > exact, 0, np.inf).astype(np.float32))
    likely = weights["n.bias"] - weights["n.running_mean"] * (weights["n.weight"] / other)
    place = int(np.flatnonzero(likely != shift)[0])
    damaged = np.where(np.arange(200) == place, likely, shift).astype(np.float32)

    def looked(of_factors: Array, of_shift: Array) -> dict[int, list[int]]:
        gains = Folded(stored("s", of_factors), ("n.weight", "n.running_var"))
        return {
            where: wrong.places
            for where, wrong in altered(
                [gains, Folded(stored("b", of_shift), EVERY)], whole
            ).items()
        }

    assert looked(factors, shift) == {}
    assert looked(factors, damaged) == {1: [place]}
    assert looked(flipped(factors, 7), shift) == {0: [7]}
    assert altered([Folded(stored("b", damaged), EVERY)], whole) == {}, "it cannot be told alone"


@pytest.mark.parametrize("seed", range(8))
def test_a_shift_whose_factors_stand_beside_it_is_judged_by_them_alone(seed: int) -> None:
    """litert-torch's inverse roots are nearer than float32's: a choice of two roots makes nearly all."""
    drawn = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    for name in "nk":
        weights |= {
            f"{name}.{part}": drawn.standard_normal(24) for part in ("bias", "running_mean")
        }
        weights |= {
            f"{name}.{part}": drawn.uniform(0.5, 2, 24) for part in ("weight", "running_var")
        }
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    of = {n: (f"{n}.weight", f"{n}.bias", f"{n}.running_mean", f"{n}.running_var") for n in "nk"}
    whole = Weights(
        [stored(name, array) for name, array in weights.items()],
        tuple(Norm(n, gamma, beta, mean, var) for n, (gamma, beta, mean, var) in of.items()),
    )
    root = np.sqrt(weights["n.running_var"].astype(np.float64) + 1e-5)
    factors = (1 / root).astype(np.float32) * weights["n.weight"]
    apart = weights["n.bias"] - weights["n.running_mean"] * factors
    usual = weights["k.weight"] / np.sqrt(weights["k.running_var"] + np.float32(1e-5))
    behind = weights["k.bias"] - weights["k.running_mean"] * usual
    found = [
        Folded(stored("s", factors), ("n.weight", "n.running_var")),
        Folded(stored("b", apart), of["n"]),
        Folded(stored("c", behind), of["k"]),
    ]
    assert altered(found, whole) == {}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [24, 64])
def test_a_choice_of_two_roots_is_no_evidence_among_few_factors(seed: int, size: int) -> None:
    """Whatever way factors were reckoned in, one of two roots is right for nine of ten."""
    drawn = np.random.default_rng(seed)
    gain, variance = drawn.uniform(0.5, 2, (2, size)).astype(np.float32)
    whole = Weights([stored("n.weight", gain), stored("n.running_var", variance)], (NORM,))
    inverse = (1 / np.sqrt(variance.astype(np.float64) + 1e-5)).astype(np.float32)
    found = [Folded(stored("s", inverse * gain), ("n.weight", "n.running_var"))]
    assert altered(found, whole) == {}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [32, 64, 96])
def test_biases_that_were_reckoned_by_roots_of_mkl_s_are_sound(seed: int, size: int) -> None:
    """One root in ten is the number on the other side: among a few dozen that is no damage."""
    drawn = np.random.default_rng(seed)
    names = ("n.weight", "n.running_var", "n.running_mean", "n.bias", "c.bias")
    weights = {name: drawn.standard_normal(size).astype(np.float32) for name in names}
    weights |= {n: drawn.uniform(0.5, 2, size).astype(np.float32) for n in names[:2]}
    whole = Weights([stored(name, array) for name, array in weights.items()], (NORM,))
    exact = np.sqrt((weights["n.running_var"] + np.float32(1e-5)).astype(np.float64))
    nearest = exact.astype(np.float32)
    other = np.nextafter(nearest, np.where(nearest > exact, 0, np.inf).astype(np.float32))
    factor = weights["n.weight"] / np.where(drawn.random(size) < 0.1, other, nearest)
    shift = (weights["c.bias"] - weights["n.running_mean"]) * factor + weights["n.bias"]
    assert altered([Folded(stored("b", shift), ("c.bias", *EVERY))], whole) == {}
