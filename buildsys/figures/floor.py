"""What the model's own precision costs it, as `floor.json` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from buildsys.figures.json_form import Key, optional


@dataclass(frozen=True)
class Cost:
    """What a precision costs the original at one output.

    Attributes:
        signal_error: The error against float64.
        reason: Why it is not known.
        parts: By axis, the errors of small parts; `null` of parts that are not small.
    """

    signal_error: float | None = optional()
    reason: str | None = optional()
    parts: Mapping[str, tuple[float | None, ...]] | None = optional()


@dataclass(frozen=True)
class LostDigits:
    """The operation at which a precision costs most.

    Attributes:
        operation: Its name.
        layer: The layer it belongs to.
        not_finite: How many values are not finite there.
        largest: The largest value that the operation gives in float64.
        before: The error before it.
        after: The error after it.
    """

    operation: str
    layer: str | None
    not_finite: int
    largest: float | None
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Floor:
    """What the model's own precision costs it, by output.

    Attributes:
        samples: How many samples it was measured with.
        float32: The model in float32.
        float16: The model in float16.
        weights: The exact model with rounded weights.
        constants: The same with the numbers of its code rounded as well.
        lost: By precision, where most of the error arises.
    """

    samples: int = 0
    float32: Mapping[str, Cost] | None = optional()
    float16: Mapping[str, Cost] | None = optional()
    weights: Annotated[Mapping[str, Cost] | None, Key("float16 weights")] = optional()
    constants: Annotated[Mapping[str, Cost] | None, Key("float16 constants")] = optional()
    lost: Mapping[str, LostDigits] | None = optional()

    def costs(self, precision: str | None) -> Mapping[str, Cost]:
        """What a precision costs, by output; nothing where that was not measured."""
        known = {
            "float32": self.float32,
            "float16": self.float16,
            "float16 weights": self.weights,
            "float16 constants": self.constants,
        }
        return known.get(precision or "") or {}
