"""The bounds that a deployable is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIZE_BOUNDS, LATENCY_BOUNDS = {"size_ratio"}, {"latency_ratio"}


@dataclass(frozen=True)
class Bounds:
    """The bounds that a deployable is held to.

    Attributes:
        name: The tolerance's name; `default` where the recipe names none.
        general: Limit by bound, on each output and on the artifact.
        outputs: Those on outputs by name, which go before.
        default: Whether errors are held to what holds where a recipe says nothing of them.
    """

    name: str
    general: Mapping[str, float]
    outputs: Mapping[str, Mapping[str, float]]
    default: bool


def judges_errors(general: Mapping[str, float], outputs: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether bounds say anything of an artifact's outputs, and not of its size, speed and weights alone."""
    return bool(set(general) - SIZE_BOUNDS - LATENCY_BOUNDS - {"weights"} or outputs)
