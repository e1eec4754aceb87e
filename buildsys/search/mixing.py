"""Per-layer mixed precision by sensitivity: the layers that a profile hurts most stay float."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buildsys.planner.choices.candidates import Candidate, key_of


@dataclass(frozen=True)
class Layer:
    """A layer of an artifact.

    Attributes:
        name: Its exact name.
        error: The error of the outputs when this layer alone is quantized; `None` where it cannot be.
        saved: By how many bytes the artifact is smaller then.
    """

    name: str
    error: float | None
    saved: int


@dataclass(frozen=True)
class Mixture:
    """So many of the most sensitive layers in float."""

    kept: tuple[Layer, ...]

    def of(self, base: Candidate, search: str) -> Candidate:
        """A candidate with these layers in float."""
        count = len(self.kept)
        name = f"{base.name} with {count} layer{'s' if count > 1 else ''} in float"
        globs = (*base.profile.keep_float, *(glob.escape(layer.name) for layer in self.kept))
        profile = base.profile.model_copy(update={"keep_float": tuple(dict.fromkeys(globs))})
        return Candidate(key_of(search, name), name, profile, variant=True)


def ranked(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that can be quantized, the most sensitive first."""
    known = [layer for layer in layers if layer.error is not None]
    return sorted(known, key=lambda layer: (-(layer.error or 0.0), layer.name))


def find(
    layers: Sequence[Layer], size: int, limit: float | None, passes: Callable[[Mixture], bool]
) -> Mixture | None:
    """The fewest layers that have to stay float, by bisection.

    It takes for granted that what passes with some layers in float passes with more of them.

    Args:
        layers: All layers of the artifact.
        size: Bytes of the artifact with none of them in float.
        limit: Bytes from which on an artifact is of no use; `None` without a limit.
        passes: Builds and judges.

    Returns:
        The mixture; `None` where none passes within the limit.
    """
    order = ranked(layers)
    most = 0
    expected = float(size)
    for layer in order[:-1]:  # With all of them in float nothing is quantized.
        expected += layer.saved
        if limit is not None and expected >= limit:
            break
        most += 1
    if not most or not passes(Mixture(tuple(order[:most]))):
        return None
    too_few, enough = 0, most
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if passes(Mixture(tuple(order[:middle]))):
            enough = middle
        else:
            too_few = middle
    return Mixture(tuple(order[:enough]))
