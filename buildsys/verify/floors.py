"""What a model's own precision costs it, which no conversion to that precision can undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAST_FLOORS: Mapping[str, float] = {"float32": 2.0**-22, "float16": 2.0**-11}
"""A model's floor is taken to be no less: 2.4e-7 and 4.9e-4.

Of a model that hardly rounds (a few operations, a table that is looked up) torch's own error is nearly
nothing, and any other order of a sum would be many times that. Two units in the last place of float32, one of
float16: in the zoo the least floors are 1.0e-7 and 3.4e-4.
"""

UNMEASURED = "only models in PyTorch are run in other precisions than their own"


@dataclass(frozen=True)
class Floors:
    """What the model's own precision costs it, by output; see `backends/torch/floor.py`.

    Attributes:
        values: `signal_error` by output, no less than `LEAST_FLOORS`.
        missing: Why an output has none.
        lost: The operation at which most of it arises, in words, where that is known.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str]
    lost: str | None = None

    @classmethod
    def of(cls, measurement: Mapping[str, Any] | None, precision: str | None) -> Floors:
        """Reads them from a measurement."""
        names = measurement["outputs"] if measurement else {}
        told: Mapping[str, Any] = (measurement or {}).get("floor") or {}
        values, missing = {}, {}
        for name in names:
            if precision is None:
                missing[name] = "float32 and float16 have a floor, and this scheme has none"
                continue
            found = told.get(precision, {}).get(name, {})
            if found.get("signal_error") is None:
                missing[name] = found.get("reason") or UNMEASURED
            else:
                values[name] = max(found["signal_error"], LEAST_FLOORS[precision])
        lost = (told.get("lost") or {}).get(precision)
        return cls(values, missing, _lost(lost) if lost else None)


def _lost(found: Mapping[str, Any]) -> str:
    """Where a precision costs a model its digits."""
    operation = found["operation"].removeprefix("aten::").partition(".")[0]
    where = f"`{operation}`" + (f" of `{found['layer']}`" if found["layer"] else "")
    if found["not_finite"]:
        many = f"{found['not_finite']:,} value{'s are' if found['not_finite'] > 1 else ' is'}"
        return f"at {where} {many} not finite (exactly, they reach {found['largest']:.3g})"
    return f"at {where} the error rises from {found['before']:.2g} to {found['after']:.2g}"
