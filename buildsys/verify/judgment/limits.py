"""The limits that an artifact is held to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EDGE_ERROR = 1e-3
EDGE_ABOVE_FLOOR = 30
"""Artifacts in float32 are held to `signal_error` at the edges, but to no less than these: a bound that fits
the samples closely says nothing of inputs that are unlike them."""


@dataclass(frozen=True)
class Limits:
    """The limits that an artifact is held to.

    Attributes:
        general: By bound, for every output and for the artifact.
        outputs: By output and bound, before the general ones.
        precision: Whose cost is the floor: `float32`, `float16`, or `None` where there is none.
        raised: `signal_error` may be this multiple of the floor where that is more than its limit;
            `None` keeps the limit.
        cap: The most that a bound on errors of outputs may be raised to, as `signal_error`.
        graph_cap: The same for what the graph alone is off.
        floor_needed: Whether `floor_ratio` fails where a model has no floor; else it is left out.
        relative: Whether `metric_drop` is a part of the original's metric, where that is no share and
            its differences have no scale of their own. Where it is 0 there is then no such bound.
        parts: The least limit on the `signal_error` of small parts of outputs (see
            `kit.run.signals.part_errors`); it is raised as that of the whole is. `None` asks for none.
        fast_kernels: The limit of `signal_error` where a run without the runtime's fast kernels shows that an
            artifact is right; `None` keeps the usual one.
        unrounded: The limit of `floor_ratio` for what rounds nothing but its weights, where the artifact
            was run so; `None` asks for none.
        graph: The limit of `graph_ratio`, where it is known; `None` asks for none.
    """

    general: Mapping[str, float]
    outputs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    precision: str | None = "float32"
    raised: float | None = None
    cap: float = math.inf
    graph_cap: float = math.inf
    floor_needed: bool = True
    relative: bool = False
    graph: float | None = None
    unrounded: float | None = None
    parts: float | None = None
    fast_kernels: float | None = None

    def of(self, output: str, bound: str) -> float | None:
        """The limit of a bound on an output, or `None` where it has none."""
        return self.outputs.get(output, {}).get(bound, self.general.get(bound))

    def bounds(self) -> Iterable[str]:
        """All bounds, the general ones first."""
        every = [*self.general, *(b for each in self.outputs.values() for b in each)]
        return dict.fromkeys(every)
