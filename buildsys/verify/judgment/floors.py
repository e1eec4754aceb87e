"""What a model's own precision costs it, which no conversion to that precision can undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from buildsys.figures.floor import Cost, Floor, LostDigits
from buildsys.figures.measurement import Measurement

WHOLE = "float32"
HALF, HALF_WEIGHTS = "float16", "float16 weights"
"""The second: of artifacts whose runtimes widen rounded weights, and compute in float32."""
HALF_CONSTANTS = "float16 constants"
"""Of runs that round nothing but what an artifact holds: weights, and the numbers of a model's code."""
HALVES = (HALF, HALF_WEIGHTS, HALF_CONSTANTS)
COSTS: Mapping[str, str] = {
    WHOLE: WHOLE,
    HALF: HALF,
    HALF_WEIGHTS: "rounding the weights to float16",
    HALF_CONSTANTS: "rounding the constants to float16",
}
"""What costs a model something, in words."""
LEAST_FLOORS: Mapping[str, float] = {
    WHOLE: 2.0**-22,
    HALF: 2.0**-11,
    HALF_WEIGHTS: 2.0**-11,
    HALF_CONSTANTS: 2.0**-11,
}
"""A model's floor is taken to be no less: 2.4e-7 and 4.9e-4.

Of a model that hardly rounds (a few operations, a table that is looked up) torch's own error is nearly
nothing, and any other order of a sum would be many times that. Two units in the last place of float32, one of
float16: in the zoo the least floors are 1.0e-7 and 3.4e-4. An output that the original itself gives in
float16 has the latter whatever its artifact's precision: rounding it costs that, and every runtime rounds
elsewhere.
"""

UNMEASURED = "the original was not run in other precisions than its own"


@dataclass(frozen=True)
class Floors:
    """What the model's own precision costs it, by output; see `floor.py` in `backends/torch` and `/onnx`.

    Attributes:
        values: `signal_error` by output, no less than `LEAST_FLOORS`; an output that the original gives in
            float16 has one without being measured.
        missing: Why an output has none.
        lost: The operation at which most of it arises, in words, where that is known.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str]
    lost: str | None = None

    @classmethod
    def of(cls, measurement: Measurement | None, precision: str | None) -> Floors:
        """Reads them from a measurement."""
        outputs = measurement.outputs if measurement else {}
        told = (measurement.floor if measurement else None) or Floor()
        values, missing = {}, {}
        known = _known_roundings(measurement) if precision in HALVES else {}
        found_of = told.costs(precision)
        if precision in (HALF_WEIGHTS, HALF_CONSTANTS):
            found_of = _of_weights(told, precision) or _of_weights(told, HALF_WEIGHTS)
            if not found_of:
                precision, found_of = HALF, told.costs(HALF)
        for name, figures in outputs.items():
            if precision is None:
                missing[name] = "float32 and float16 have a floor, and this scheme has none"
                continue
            found = found_of.get(name) or Cost()
            half = figures.reference_dtype == HALF
            least = LEAST_FLOORS[HALF if half else precision]
            if found.signal_error is not None:
                values[name] = max(found.signal_error, known.get(name, 0.0), least)
            elif half:
                values[name] = least
            else:
                missing[name] = found.reason or UNMEASURED
        lost = (told.lost or {}).get(precision or "")
        return cls(values, missing, _lost(lost) if lost else None)


def _known_roundings(measurement: Measurement | None) -> dict[str, float]:
    """What the artifact's own roundings cost the original, where each of them is known to be right.

    A converter folds a layer scale of 1e-6 into float16, or rounds an epsilon to it: that costs some models
    more than rounding their weights one by one does. Where every constant in float16 is the nearest to what
    the model has there, and the original with these constants is known, it is what the precision costs.
    """
    graph = measurement.graph if measurement is not None else None
    if graph is None or graph.reason or graph.numbers:
        return {}
    return {
        name: each.signal_error
        for name, each in (graph.cost or {}).items()
        if each.signal_error is not None
    }


def _of_weights(told: Floor, precision: str) -> dict[str, Cost]:
    """What rounded weights alone cost; the original's own rounding is in every artifact's error."""
    own = told.costs(WHOLE)
    return {
        name: replace(
            each, signal_error=max(each.signal_error, own.get(name, Cost()).signal_error or 0.0)
        )
        for name, each in told.costs(precision).items()
        if each.signal_error is not None
    }


def _lost(found: LostDigits) -> str:
    """Where a precision costs a model its digits."""
    operation = found.operation.removeprefix("aten::").partition(".")[0]
    where = f"`{operation}`" + (f" of `{found.layer}`" if found.layer else "")
    if found.not_finite:
        many = f"{found.not_finite:,} value{'s are' if found.not_finite > 1 else ' is'}"
        return f"at {where} {many} not finite (exactly, they reach {found.largest:.3g})"
    return f"at {where} the error rises from {found.before:.2g} to {found.after:.2g}"
