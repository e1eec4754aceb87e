"""Digests of tensors and their slices, and how often they are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.inspect.stored_weights import DERIVED, Stored, Weights
from buildsys.verify.weights.comparison import judged
from buildsys.verify.weights.numbers import fingerprints
from buildsys.verify.weights.numbers.fingerprints import Index, cuts, digests, slicings

SHAPES = [(64, 32, 3, 3), (96, 50), (48,)]


def drawn(seed: int, scale: float = 1.0) -> list[np.ndarray[Any, Any]]:
    draw = np.random.default_rng(seed)
    return [(draw.standard_normal(shape) * scale).astype(np.float32) for shape in SHAPES]


@pytest.mark.parametrize(
    "shape", [*SHAPES, (), (1,), (1, 7, 1), (3, 1, 40000), (70000, 2), (5, 4, 3, 2, 3), (2, 3, 17)]
)
@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_slices_have_the_digests_of_their_numbers(shape: tuple[int, ...], storage: str) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    mixed = digests(fingerprints.rounded(values, storage))
    whole = int(mixed.sum(dtype=np.uint64))
    assert fingerprints.digest(values, storage) == whole
    found = slicings(values, storage)
    assert [(one.shape, one.axis, one.size) for one in found] == [
        (cut.shape, cut.axis, cut.size) for cut in cuts(shape)
    ]
    for one in found:
        slices = np.moveaxis(mixed.reshape(one.shape), one.axis, 0).reshape(one.count, -1)
        assert one.parts.tolist() == slices.sum(axis=1, dtype=np.uint64).tolist()
        assert int(one.parts.sum(dtype=np.uint64)) == whole


def test_an_index_looks_at_nothing_of_other_sizes() -> None:
    arrays = drawn(0)
    asked: list[int] = []

    def of(owner: int) -> list[fingerprints.Slicing]:
        asked.append(owner)
        return slicings(arrays[owner], "float32")

    shapes = [array.shape for array in arrays]
    index = Index(shapes, lambda owner: fingerprints.digest(arrays[owner], "float32"), of)
    rows = slicings(arrays[1][::-1], "float32")[0]
    owners, places = index.find(rows)
    assert owners.tolist() == [1] * 96
    assert places.tolist() == [*range(95, -1, -1)]
    assert index.likely(rows, least=1)
    assert asked == [1]
    other = slicings(drawn(1)[1], "float32")[0]
    assert (index.find(other)[0] == -1).all()
    assert not index.likely(other, least=1)


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
    # Each constant and weight as a whole and by slices, and what is computed of them.
    assert sum(mixed) <= 5 * total + 48
    # One order of the axes is compared as a whole, and not all 24.
    assert sum(compared) <= 1.2 * total
