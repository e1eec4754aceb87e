"""Digests of tensors and their slices, and how often they are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.inspect.stored_weights import DERIVED, Stored, Weights
from buildsys.verify.weights.comparison import judged
from buildsys.verify.weights.numbers import fingerprints
from buildsys.verify.weights.numbers.fingerprints import Index, cuts, digests, sliced

SHAPES = [(64, 32, 3, 3), (96, 50), (48,)]


def drawn(seed: int, scale: float = 1.0) -> list[np.ndarray[Any, Any]]:
    draw = np.random.default_rng(seed)
    return [(draw.standard_normal(shape) * scale).astype(np.float32) for shape in SHAPES]


def test_the_digests_of_all_parts_are_that_of_the_whole() -> None:
    for values in drawn(0):
        mixed = digests(values)
        whole = mixed.sum(dtype=np.uint64)
        for cut in cuts(values.shape):
            parts = sliced(mixed, cut).parts
            assert len(parts) == cut.count == values.size // cut.size
            assert parts.sum(dtype=np.uint64) == whole


def test_an_index_looks_at_nothing_of_other_sizes() -> None:
    arrays = drawn(0)
    asked: list[int] = []

    def slicings(owner: int) -> list[fingerprints.Slicing]:
        asked.append(owner)
        mixed = digests(arrays[owner])
        return [sliced(mixed, cut) for cut in cuts(arrays[owner].shape)]

    index = Index([a.shape for a in arrays], lambda n: fingerprints.digest(arrays[n]), slicings)
    rows = sliced(digests(arrays[1][::-1]), next(cuts(arrays[1].shape)))
    owners, places = index.find(rows)
    assert owners.tolist() == [1] * 96
    assert places.tolist() == [*range(95, -1, -1)]
    assert asked == [1]
    other = sliced(digests(drawn(1)[1]), next(cuts(arrays[1].shape)))
    assert (index.find(other)[0] == -1).all()


def test_every_number_is_mixed_as_often_as_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once of each constant, though weights and what is computed of them are both searched."""
    mixed: list[int] = []
    compared: list[int] = []
    true_digests, true_equal = fingerprints.digests, np.array_equal

    def counted(values: Any) -> Any:
        mixed.append(values.size)
        return true_digests(values)

    def equal(one: Any, other: Any, **more: Any) -> bool:
        compared.append(one.size)
        return bool(true_equal(one, other, **more))

    own = [Stored(f"{n}.weight", values, "float32") for n, values in enumerate(drawn(0))]
    made = [
        Stored(f"{DERIVED}{n}", values, "float32", made_of=(f"{n}.weight",))
        for n, values in enumerate(drawn(1, 0.1))
    ]
    constants = [
        Stored(f"c{n}", np.ascontiguousarray(each.values.T), "float32")
        for n, each in enumerate(made)
    ]
    monkeypatch.setattr(fingerprints, "digests", counted)
    monkeypatch.setattr(np, "array_equal", equal)
    found = judged(Weights(constants), Weights([*own, *made]))
    assert found["traced"] == 1.0
    total = sum(each.values.size for each in constants)
    # Each constant, each weight as a whole and by slices, and what is computed of them.
    assert sum(mixed) <= 4 * total + 48
    # One order of the axes is compared as a whole, and not all 24.
    assert sum(compared) <= 1.2 * total
