"""Which weight of the model each constant of an artifact is, and which of them were altered.

Errors of outputs do not show a flipped low bit, nor one altered number among millions. So every constant
is explained by the model's own weights: the same numbers in some order, rounded or quantized as the
storage says, or folded with a batch norm, or what the model itself computes of its weights. One with
numbers that are a weight's, but for some that are not, is `altered`: what explains the others says what
belongs there. What no weight explains is no evidence of damage: it is reported as the share of numbers that
is not traced to the model, and the outputs tell whether it is right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from buildsys.backends.kit.inspect import single_numbers
from buildsys.backends.kit.inspect.stored_weights import Stored, Weights, load
from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import Request
from buildsys.verify.weights import derived
from buildsys.verify.weights.budget import Budget
from buildsys.verify.weights.folding import norms
from buildsys.verify.weights.folding.shifts import Folded
from buildsys.verify.weights.half_precision import held, narrowed, rounded_numbers
from buildsys.verify.weights.match import ALTERED, EXACT, FOLDED, ROUNDED, UNEXPLAINED, Match
from buildsys.verify.weights.matcher import Matcher
from buildsys.verify.weights.numbers.fingerprints import Fingerprints
from buildsys.verify.weights.numbers.proportion import telling
from buildsys.verify.wording import KINDS

EPS_ROUNDED = 1e-3
"""How far rounding takes an epsilon, relative; that of float16 is the coarsest."""
LEAST_EPS = 2.0**-24
"""The least number of float16: a smaller epsilon becomes this one there."""
SHOWN_ELEMENTS = 5
"""Altered elements that are named, of each tensor."""
MOST_LISTED = 50
"""Unexplained tensors that are named."""
LAYERS = (
    *("conv", "depthwiseconv", "transposeconv", "groupconv", "linear"),
    *("lstm", "gru", "rnn", "gather", "embedding"),
)
"""How operations with a matrix or a kernel are called, in all formats: the beginnings of names."""
UNIFORM = "all of its numbers are the same"


def compare_weights(request: Request) -> None:
    """Compares an artifact's weights with the model's.

    Inputs: `stored`, `stored_names` (the artifact's) and `original`, `original_names` (the model's); see
    `kit.inspect.stored_weights`; and maybe `floats`, `floats_names`, those of the artifact that a
    quantized one was made of. Writes `weights` (`weights.json`), as `judged` gives it; where it is asked for
    also `held` (`.npz`): the weights that the artifact holds other than the model does, by the model's
    names, with the artifact's single numbers in float16 (see `kit.inspect.single_numbers`). The record then
    has `held`: their `count`, the `reason` where they are not known, and the names of these `numbers`.
    """
    artifact = load(request.inputs["stored"], request.inputs["stored_names"])
    model = load(request.inputs["original"], request.inputs["original_names"])
    floats = (
        load(request.inputs["floats"], request.inputs["floats_names"])
        if "floats" in request.inputs
        else None
    )
    budget = Budget()
    found = _explained(artifact, model, floats, budget)
    record = _record(found, model, budget)
    if "held" in request.outputs:
        made, reason = held([(one.stored, one.match) for one in found], model)
        numbers = rounded_numbers(artifact)
        beside = {single_numbers.NAME: np.array([number for _, number in numbers])} if made else {}
        weights = {name: narrowed(array) for name, array in made.items()}
        arrays.save(request.outputs["held"], weights | beside)
        record["held"] = {"count": len(made), "reason": reason, "numbers": [n for n, _ in numbers]}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    request.outputs["weights"].write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class _Judged:
    stored: Stored
    match: Match


def judged(
    artifact: Weights,
    model: Weights,
    floats: Weights | None = None,
    budget: Budget | None = None,
) -> dict[str, Any]:
    """Explains every constant of an artifact.

    Args:
        artifact: Its constants.
        model: The model's weights.
        floats: Those of the artifact that a quantized one was made of, where they are known: nothing but
            quantizing lies between the two, so that scales are compared one by one.
        budget: How much work the search may take.

    Returns:
        `compared` tensors, of them `exact`, `rounded`, `quantized`, `rearranged`, `folded`; `altered`:
        those that are nearly a weight, with the weight (`of`), how many elements (`count`), the first
        of them (`elements`: `index`, `stored`, `expected`) and `why`; `missing`: constants that seem
        to stand where a weight belongs, which is no evidence that one should be there;
        `unexplained`: other tensors that no weight explains, by name, shape and bytes;
        `bytes` of all, and `share_of_bytes`, the part of them that is explained; how many `numbers`
        there are, the part of them that is `traced` to the model, and how many tensors were `untried`
        since the budget of the search was spent.
    """
    budget = budget or Budget()
    return _record(_explained(artifact, model, floats, budget), model, budget)


def _explained(
    artifact: Weights, model: Weights, floats: Weights | None, budget: Budget
) -> list[_Judged]:
    quantized = any(stored.scale is not None for stored in artifact.tensors)
    own, made = derived.apart(model)
    prints = Fingerprints()
    matcher = Matcher(own, corrected=quantized, floats=floats, budget=budget, prints=prints)
    found = [
        _Judged(stored, matcher.match(stored)) for stored in artifact.tensors if _counts(stored)
    ]
    used = _used(found)
    found = [
        one
        if one.match.kind != UNEXPLAINED
        else _Judged(one.stored, matcher.match_again(one.stored, _beside(one.stored, used)))
        for one in found
    ]
    if made is not None:
        other = Matcher(made, corrected=quantized, budget=budget, prints=prints)
        found = [_Judged(one.stored, derived.better(one.stored, one.match, other)) for one in found]
    return _with_their_eps(_to_the_last_bit(found, own), own)


def _record(found: list[_Judged], model: Weights, budget: Budget) -> dict[str, Any]:
    missing = _missing(found, model)
    standing = [one for one, _, _ in missing]
    # What is one number throughout, and no weight's, a converter put in: a bias that is not there.
    found = [
        one
        for one in found
        if one.match.kind != UNEXPLAINED or one in standing or not _uniform(one.stored)
    ]
    kinds = Counter(one.match.kind for one in found)
    size = sum(one.stored.values.nbytes for one in found)
    told = [one for one in found if one.match.kind != UNEXPLAINED]
    explained = sum(one.stored.values.nbytes for one in told)
    numbers = sum(one.stored.values.size for one in found)
    traced = sum(one.stored.values.size for one in told) - sum(
        one.match.count for one in told if one.match.kind == ALTERED
    )
    return {
        "compared": len(found),
        **{kind: kinds.get(kind, 0) for kind in KINDS},
        "altered": [_altered(one) for one in found if one.match.kind == ALTERED],
        "missing": [
            {
                "name": one.stored.name,
                "of": [name],
                "count": one.stored.values.size,
                "shape": list(one.stored.values.shape),
                "bytes": one.stored.values.nbytes,
                "why": why,
                "readers": list(one.stored.readers[:2]),
            }
            for one, name, why in missing
        ],
        "unexplained": [
            {
                "name": one.stored.name,
                "shape": list(one.stored.values.shape),
                "bytes": one.stored.values.nbytes,
                "readers": list(one.stored.readers[:2]),
            }
            for one in sorted(found, key=lambda one: -one.stored.values.nbytes)
            if one.match.kind == UNEXPLAINED and one not in standing
        ][:MOST_LISTED],
        "bytes": size,
        "share_of_bytes": explained / size if size else 1.0,
        "numbers": numbers,
        "traced": traced / numbers if numbers else 1.0,
        "untried": budget.untried,
    }


def _used(found: Sequence[_Judged]) -> dict[str, dict[str, None]]:
    """The model's weights that each operation uses."""
    used: dict[str, dict[str, None]] = {}
    for one in found:
        for reader in one.stored.readers:
            used.setdefault(reader, {}).update(dict.fromkeys(one.match.of))
    return used


def _beside(stored: Stored, used: Mapping[str, Mapping[str, None]]) -> list[str]:
    return list(dict.fromkeys(name for reader in stored.readers for name in used.get(reader, ())))


def _to_the_last_bit(found: Sequence[_Judged], model: Weights) -> list[_Judged]:
    """The same, with what was altered of folded constants by less than roundings are allowed."""
    folded = [n for n, one in enumerate(found) if one.match.kind == FOLDED]
    given = [Folded(found[n].stored, found[n].match.of) for n in folded]
    judged = list(found)
    for place, wrong in norms.altered(given, model).items():
        one = found[folded[place]]
        count = len(wrong.places)
        why = f"{count} of its numbers are not what folding makes of the weight"
        changed = Match(ALTERED, one.match.of, wrong.places, wrong.expected, count, why)
        judged[folded[place]] = _Judged(one.stored, changed)
    return judged


def _with_their_eps(found: Sequence[_Judged], model: Weights) -> list[_Judged]:
    """The same, but for gains of norms that an operation uses with another epsilon than the model.

    Several weights may be the same numbers, as gains that are all ones: then it may be the epsilon of any,
    and where that of one is not known nothing is known.
    """
    equal: dict[bytes, list[float | None]] = {}
    keys = {}
    sizes = {tensor.values.size for tensor in model.tensors if tensor.eps is not None}
    for tensor in model.tensors:
        if tensor.values.size not in sizes:
            continue
        keys[tensor.name] = tensor.decoded.tobytes()
        equal.setdefault(keys[tensor.name], []).append(tensor.eps)
    judged = []
    for one in found:
        of, eps = one.match.of, one.stored.eps
        whole = one.match.kind in (EXACT, ROUNDED) and len(of) == 1 and of[0] in keys
        every = equal[keys[of[0]]] if whole and eps is not None else []
        own = [each for each in every if each is not None]
        known = bool(own) and len(own) == len(every)
        if eps is None or not known or any(_same_eps(eps, each) for each in own):
            judged.append(one)
            continue
        wanted = " or ".join(f"{each:.3g}" for each in dict.fromkeys(own))
        why = f"its operation adds an epsilon of {eps:.3g} to the variance, and the model {wanted}"
        judged.append(_Judged(one.stored, Match(ALTERED, of, count=1, why=why)))
    return judged


def _same_eps(given: float, own: float) -> bool:
    return abs(given - own) <= max(EPS_ROUNDED * own, LEAST_EPS)


def _counts(stored: Stored) -> bool:
    """Whether it can be told from others: a single number, or finite ones, cannot."""
    return stored.values.size > 1


def _altered(one: _Judged) -> dict[str, Any]:
    found, stored = one.match, one.stored
    decoded = stored.decoded.reshape(-1)
    elements = []
    for place, expected in list(zip(found.places, found.expected, strict=True))[:SHOWN_ELEMENTS]:
        index = [int(i) for i in np.unravel_index(int(place), stored.values.shape)]
        elements.append(
            {
                "index": index,
                "stored": _number(decoded[int(place)]),
                "expected": _number(expected),
            }
        )
    return {
        "name": stored.name,
        "of": list(found.of),
        "count": found.count,
        "elements": elements,
        "why": found.why,
        "readers": list(stored.readers[:2]),
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _missing(found: Sequence[_Judged], model: Weights) -> list[tuple[_Judged, str, str]]:
    """Constants that stand where a weight belongs that nothing explains: with its name, and why.

    Such a constant bears the weight's name; or it is one number throughout, as no weight is, and an
    operation uses it together with another weight of the same layer; or it is of the sizes of a
    matrix that a layer of PyTorch's own uses as it is.
    """
    used = {
        part.partition("[")[0]
        for one in found
        for name in one.match.of
        for part in name.split(" + ")
    }
    unused = {
        tensor.name: tensor
        for tensor in model.tensors
        if tensor.name not in used and tensor.values.size > 1 and not _uniform(tensor)
    }
    layers = _layers(found)
    missing = []
    for one in found:
        if one.match.kind != UNEXPLAINED:
            continue
        size = one.stored.values.size
        for name in [n for n, tensor in unused.items() if tensor.values.size == size]:
            why = _belongs(one.stored, unused[name], layers, name in model.plain)
            if why:
                missing.append((one, name, why))
                del unused[name]
                break
    return missing


def _belongs(
    stored: Stored, weight: Stored, layers: Mapping[str, set[str]], plain: bool
) -> str | None:
    """Why a weight belongs where a constant stands, or `None`."""
    if _same_name(weight.name, stored.name):
        return "it bears the weight's name, and holds other numbers"
    layer = weight.name.rpartition(".")[0]
    sizes = _sizes(weight)
    if plain and len(sizes) > 1 and _sizes(stored) == sizes and _is_matrix(stored):
        if _uniform(stored):
            return UNIFORM
        return "it is of its sizes, and holds other numbers" if telling(stored.decoded) else None
    if not _uniform(stored):
        return None
    beside = any(layer in layers.get(reader, ()) for reader in stored.readers)
    return UNIFORM if beside else None


def _is_matrix(stored: Stored) -> bool:
    """Whether an operation takes it as a layer's matrix or kernel, and does not just add it."""
    if stored.orientation is not None:
        return True
    kinds = {reader.partition(" ")[0].lower().replace("_", "") for reader in stored.readers}
    return bool(kinds) and all(kind.startswith(LAYERS) for kind in kinds)


def _layers(found: Sequence[_Judged]) -> dict[str, set[str]]:
    """The model's layers whose weights each operation uses."""
    return {
        reader: {name.rpartition(".")[0] for name in names}
        for reader, names in _used(found).items()
    }


def _sizes(stored: Stored) -> list[int]:
    return sorted(n for n in stored.values.shape if n > 1)


def _uniform(stored: Stored) -> bool:
    decoded = stored.decoded.reshape(-1)
    return bool((decoded == decoded[0]).all())


def _same_name(weight: str, constant: str) -> bool:
    """Whether a converter made one name of the other: `body.0.weight`, `body_0_weight`."""
    letters = ["".join(c for c in name.lower() if c.isalnum()) for name in (weight, constant)]
    return letters[0] == letters[1]
