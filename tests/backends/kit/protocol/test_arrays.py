"""Arrays that are opened and not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays


def test_what_is_mapped_is_what_was_saved(tmp_path: Path) -> None:
    saved: arrays.Arrays = {
        "a": np.arange(12, dtype=np.float32).reshape(3, 4),
        "by columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 3), np.int8),
        "single": np.array(3.5),
        "a/name": np.array([True, False]),
    }
    arrays.save(tmp_path / "a.npz", saved)
    found = arrays.mapped(tmp_path / "a.npz")
    assert set(found) == set(saved)
    for name, array in saved.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert not found["a"].flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0, 0] = 1


def test_what_was_compressed_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3))
    assert arrays.mapped(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="Python objects"):
        arrays.mapped(tmp_path / "a.npz")


def test_labels_are_one_array_several_or_none() -> None:
    rows: arrays.Arrays = {"x": np.zeros((2, 1))}
    assert arrays.labels_of(rows) is None
    one = arrays.with_labels(rows, np.arange(2))
    assert np.array_equal(np.asarray(arrays.labels_of(one)), [0, 1])
    several = arrays.with_labels(rows, {"boxes": np.ones(2), "k": np.arange(2)})
    found = arrays.labels_of(several)
    assert isinstance(found, dict)
    assert sorted(found) == ["boxes", "k"]
    assert [n for n in several if not arrays.is_labels(n)] == ["x"]
