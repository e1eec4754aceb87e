"""Finds which output of a converted file is which, and how its axes were permuted, by value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

RELATIVE = 1e-3
"""How far values may lie apart, by the largest of them: loose, for it only tells layouts apart."""

_CHANNELS_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}


@dataclass(frozen=True)
class Place:
    """Where an output is in the file.

    Attributes:
        name: Its name in the file.
        permutation: `file_array = model_array.transpose(permutation)`; `None` where nothing moved.
    """

    name: str
    permutation: tuple[int, ...] | None


def locate(
    name: str,
    expected: Sequence[Array],
    found: Sequence[Mapping[str, Array]],
    taken: Iterable[str] = (),
) -> Place | None:
    """Looks for an output, first under its own name and with its own axes.

    Args:
        name: The name that it should have.
        expected: The model's values of it, one array a run.
        found: All the file's outputs, one mapping a run.
        taken: Names of the file that are other outputs.

    Returns:
        The place, or `None` where no output of the file holds these values in any order of axes.
    """
    names = [n for n in found[0] if n not in set(taken)]
    identity = tuple(range(expected[0].ndim))
    for candidate in sorted(names, key=lambda n: (n != name, n)):
        for order in permutations(identity):
            if all(
                _close(array.transpose(order), run[candidate])
                for array, run in zip(expected, found, strict=True)
            ):
                return Place(candidate, None if order == identity else order)
    return None


def layout_after(layout: str | None, permutation: Sequence[int] | None) -> str | None:
    """A layout's name after its axes were permuted, where it has one."""
    if permutation is None:
        return layout
    if layout is not None and len(layout) == len(permutation):
        return "".join(layout[axis] for axis in permutation)
    rank = len(permutation)
    channels_last = [0, *range(2, rank), 1]
    return _CHANNELS_LAST.get(rank) if list(permutation) == channels_last else None


def _close(expected: Array, found: Array) -> bool:
    if expected.shape != found.shape:
        return False
    if not np.issubdtype(expected.dtype, np.floating):
        return bool(np.array_equal(expected, found))
    finite = expected[np.isfinite(expected)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    return bool(
        np.allclose(expected, found, rtol=0.0, atol=RELATIVE * scale + 1e-6, equal_nan=True)
    )
