"""Biases that a norm was folded into, to the last bit, by the formulas that converters reckon by.

A layer in float32 tells its norm's factors by its elements; see `exact_folding`. One in float16 does not, and
the gain of a layer norm is multiplied into a layer that tells nothing of the norm's shift. But a converter
reckons all biases of an artifact by one formula, in float32:

- a batch norm behind the layer: `(bias - mean) * s + beta`, with `s = gamma / sqrt(variance + eps)`
  (PyTorch's exporter to ONNX, coremltools) or `(bias - mean) * r * gamma + beta`, with
  `r = 1 / sqrt(variance + eps)` (litert-torch). The root is the nearest number of float32, but for the
  exporter to ONNX: MKL, which PyTorch calls, gives one of the two next to it, and not always the nearer;
- of a batch norm that no layer takes in, its factors too: `gamma / sqrt(variance + eps)` (OpenVINO), or
  `1 / sqrt(variance + eps)` (litert-torch); they tell which root its shift was reckoned by;
- a layer norm before it: `bias + sum(weight * shift)`, each product rounded to float32 and their sum
  reckoned in float64 (litert-torch).

A formula that makes nearly all elements of nearly all of these biases is the converter's, and the others were
altered. Where none does, a converter reckoned otherwise, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Norm, Stored, Weights
from buildsys.verify.weights.numbers.axis_orders import is_vector

Array = NDArray[Any]

NEARLY = 0.75
"""The part of a bias that a formula makes, for the bias to be reckoned by it."""
SURE, SURE_OF_EITHER = 0.95, 0.99
"""The part of all elements that a formula makes, for it to be the converter's: others make 0.8 of them. The
second: one that leaves a choice of two roots, by which any way of reckoning makes 0.9 of them."""
TELLING = 32
"""Elements that tell a formula from others."""
MANY = 128
"""The fewest elements that tell apart how roots were rounded.

MKL rounds one root in five to the number next to the nearest. With a choice of two roots, nearly all of a few
dozen elements match by chance.
"""
NEIGHBORS = 2.0**-22
"""How far a factor may be from another way of reckoning it, by which its float16 may be another as well."""
HALF = 0.5 + 2.0**-10
"""Half a unit in the last place, and what sums in float64 in another order may add."""


@dataclass(frozen=True)
class Folded:
    """A constant that folding is known to have made.

    Attributes:
        stored: The constant.
        of: The weights that it is made of.
    """

    stored: Stored
    of: tuple[str, ...]


@dataclass(frozen=True)
class Wrong:
    """Elements that are not what folding gives.

    Attributes:
        places: Their places in the flattened constant.
        expected: The numbers that belong there.
    """

    places: list[int]
    expected: list[float]


Formula = Callable[[Folded], tuple[Array, ...] | None]
"""What a constant may be, an array for each choice of the root; in float64 where it is not rounded yet."""


def altered(
    found: Sequence[Folded],
    model: Weights,
    weights: Mapping[str, Array],
    known: Collection[str],
) -> dict[int, Wrong]:
    """Looks at biases once more.

    Args:
        found: All folded constants.
        model: The model's weights.
        weights: Their numbers by name.
        known: The variances of norms whose factors a layer has told: their biases were looked at.

    Returns:
        By the place in `found`: what is altered of those that are known to be off.
    """
    norms = [norm for norm in model.norms if norm.variance not in known]
    gained: list[Formula] = [partial(_shifted, norms, weights, True, False)]
    whole: list[Formula] = [
        partial(_shifted, norms, weights, False, either) for either in (False, True)
    ]
    biases = {
        place: one
        for place, one in enumerate(found)
        if one.stored.storage == "float32" and is_vector(one.stored.values)
    }
    # Where its factors stand in the artifact, they alone tell of a norm's shift: of two roots one is right by
    # chance often enough to look like a formula.
    apart = _stored(found, norms).keys()
    behind = {place: one for place, one in biases.items() if not apart & set(one.of)}
    wrong = _by_one_formula(behind, gained) or _by_one_formula(behind, whole, MANY)
    wrong |= _by_one_formula(biases, [partial(_through, weights)])
    for storage in ("float32", "float16"):
        factors = {p: one for p, one in enumerate(found) if one.stored.storage == storage}
        for either in (False, True):
            ways: list[Formula] = [
                partial(_scaled, norms, weights, whole, either) for whole in (True, False)
            ]
            off = _by_one_formula(factors, ways, MANY)
            if off:
                wrong |= off
                break
    sound = [one for place, one in enumerate(found) if place not in wrong]
    return wrong | _by_one_formula(
        biases, [partial(_shifted_by, norms, weights, _stored(sound, norms))]
    )


def _by_one_formula(
    biases: Mapping[int, Folded], formulas: Sequence[Formula], least: int = TELLING
) -> dict[int, Wrong]:
    """What is off of the biases that the best of the formulas is about, where those have enough elements."""
    best: tuple[float, dict[int, Wrong]] = 0.0, {}
    for formula in formulas:
        elements = right = choices = 0
        off: dict[int, Wrong] = {}
        for place, one in biases.items():
            made = formula(one)
            if made is None:
                continue
            got = one.stored.values.reshape(-1)
            same = np.logical_or.reduce([_same(got, each) for each in made])
            if same.mean() < min(NEARLY, 1 - 1 / same.size):
                continue
            elements, right = elements + same.size, right + int(same.sum())
            choices = max(choices, len(made))
            found = wrong_of(~same, made[0].astype(np.float32))
            if found is not None:
                off[place] = found
        needed, sure = (least, SURE) if choices < 2 else (max(least, MANY), SURE_OF_EITHER)
        share = right / elements if elements >= needed else 0.0
        if share >= sure and share > best[0]:
            best = share, off
    return best[1]


def _same(got: Array, made: Array) -> Array:
    if got.dtype == np.float16:
        around = [(made * np.float32(1 + n * NEIGHBORS)).astype(np.float16) for n in (-1, 0, 1)]
        return np.asarray(np.logical_or.reduce([each == got for each in around]))
    if made.dtype == np.float32:
        return np.asarray(made == got)
    return np.asarray(np.abs(got - made) <= HALF * np.spacing(np.abs(got)))


def _shifted(
    norms: Sequence[Norm],
    weights: Mapping[str, Array],
    gained: bool,
    either: bool,
    one: Folded,
) -> tuple[Array, ...] | None:
    """The bias of a layer before a batch norm; of one whose eps is not known for sure nothing is said.

    Args:
        norms: Those of the model.
        weights: Its weights by name.
        gained: Whether the gain is multiplied with the inverse root, and not divided by the root.
        either: Whether the root may be the number on the other side of it, too.
        one: The bias as it is stored.
    """
    norm = next((n for n in norms if n.variance in one.of and len(n.eps) == 1), None)
    size = one.stored.values.size
    if norm is None or norm.mean not in one.of or weights[norm.variance].size != size:
        return None
    gamma, beta, mean = of_norm(norm, weights, size)
    bias = bias_of(one, norm, weights, size)
    made = []
    nearest, other = _roots(vector(norm.variance, weights, 1.0, size), norm.eps[0])
    for root in (nearest, other) if either else (nearest,):
        factor = np.float32(1) / root if gained else gamma / root
        tail = gamma if gained else np.ones_like(gamma)
        made.append((bias - mean) * factor * tail + beta)
    return tuple(made)


def _stored(found: Sequence[Folded], norms: Sequence[Norm]) -> dict[str, tuple[Array, bool]]:
    """By variance the factors of a norm that stand in the artifact, and whether its gain is in them."""
    gammas = {norm.variance: norm.gamma for norm in norms}
    return {
        variance: (one.stored.values.reshape(-1), gammas[variance] in one.of)
        for one in found
        for variance in one.of
        if variance in gammas
        and one.stored.storage == "float32"
        and not set(one.of) - {variance, gammas[variance]}
    }


def _shifted_by(
    norms: Sequence[Norm],
    weights: Mapping[str, Array],
    factors: Mapping[str, tuple[Array, bool]],
    one: Folded,
) -> tuple[Array, ...] | None:
    """The shift of a norm beside its factors: these leave no choice of a root."""
    norm = next((n for n in norms if n.variance in one.of and n.variance in factors), None)
    size = one.stored.values.size
    if norm is None or norm.mean not in one.of or factors[norm.variance][0].size != size:
        return None
    gamma, beta, mean = of_norm(norm, weights, size)
    factor, gained = factors[norm.variance]
    return (
        (bias_of(one, norm, weights, size) - mean) * (factor if gained else factor * gamma) + beta,
    )


def _scaled(
    norms: Sequence[Norm], weights: Mapping[str, Array], whole: bool, either: bool, one: Folded
) -> tuple[Array, ...] | None:
    """The factors of a batch norm on its own.

    Args:
        norms: Those of the model.
        weights: Its weights by name.
        whole: Whether it is a quotient, or a product with the inverse root.
        either: Whether the root may be the number on the other side of it, too.
        one: The factors as they are stored.
    """
    norm = next((n for n in norms if n.variance in one.of and len(n.eps) == 1), None)
    size = one.stored.values.size
    if norm is None or weights[norm.variance].size != size:
        return None
    if set(one.of) - {norm.gamma, norm.variance}:
        return None
    nearest, other = _roots(vector(norm.variance, weights, 1.0, size), norm.eps[0])
    gamma = vector(norm.gamma if norm.gamma in one.of else None, weights, 1.0, size)
    roots = (nearest, other) if either else (nearest,)
    return tuple(gamma / root if whole else gamma * (np.float32(1) / root) for root in roots)


def _roots(variance: Array, eps: float) -> tuple[Array, Array]:
    """The number of float32 nearest to the root, and that on the other side of it."""
    exact = np.sqrt((variance + np.float32(eps)).astype(np.float64))
    nearest = exact.astype(np.float32)
    other = np.nextafter(nearest, np.where(nearest > exact, 0, np.inf).astype(np.float32))
    return nearest, np.where(nearest == exact, nearest, other)


def _through(weights: Mapping[str, Array], one: Folded) -> tuple[Array, ...] | None:
    """The bias of a linear layer behind a norm, whose shift went through it."""
    size = one.stored.values.size
    large = [weights[name] for name in one.of if name in weights and weights[name].ndim > 1]
    small = [name for name in one.of if name in weights and weights[name].ndim == 1]
    if len(large) != 1 or not small or large[0].ndim != 2 or len(large[0]) != size:
        return None
    shift = weights[small[-1]].astype(np.float32)
    if shift.size != large[0].shape[1]:
        return None
    products = large[0].astype(np.float32) * shift
    made = products.astype(np.float64).sum(axis=1)
    if len(small) > 1:
        made = made + weights[small[0]]
    return (made,)


def of_norm(norm: Norm, weights: Mapping[str, Array], size: int) -> tuple[Array, Array, Array]:
    """Gamma, beta and mean of a norm, in float32; what it has none of changes nothing."""
    return (
        vector(norm.gamma, weights, 1.0, size),
        vector(norm.beta, weights, 0.0, size),
        vector(norm.mean, weights, 0.0, size),
    )


def bias_of(one: Folded, norm: Norm, weights: Mapping[str, Array], size: int) -> Array:
    """The layer's own bias, of the weights that a folded one is made of; zeros where it had none."""
    own = {norm.gamma, norm.beta, norm.mean, norm.variance}
    others = [name for name in one.of if name not in own and name in weights]
    return vector(others[0] if others else None, weights, 0.0, size)


def vector(name: str | None, weights: Mapping[str, Array], default: float, size: int) -> Array:
    """A weight in float32 as a vector, or the default where there is none of the size."""
    found = weights.get(name or "")
    if found is None or found.size != size:
        return np.full(size, default, np.float32)
    return found.astype(np.float32).reshape(-1)


def wrong_of(off: Array, made: Array) -> Wrong | None:
    """What is off, with what belongs there; `None` where nothing is."""
    places = np.flatnonzero(off)
    return Wrong(places.tolist(), made[places].tolist()) if len(places) else None
