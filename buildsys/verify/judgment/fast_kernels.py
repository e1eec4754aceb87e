"""Errors that a runtime's fast kernels cost an artifact that is right without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.floors import Floors
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.limits import Limits

FAST_KERNELS = "its runtime's fast kernels cost it a signal error of"
ALIKE = 3.0
"""How many times what fast kernels cost some samples they may cost all, or inputs of other sizes."""


def excused(gate: Gate, measurement: Measurement | None, limits: Limits, floors: Floors) -> Gate:
    """A default bound that does not hold, in the light of a run without the runtime's fast kernels.

    Where that run is as exact as rounding allows, the file is right. What is off for the same samples with
    the fast kernels is then their doing, and so is what is not much more for others.
    """
    plain = measurement.plain if measurement is not None else None
    told = plain.outputs.get(gate.output or "") if plain is not None else None
    most, ratio = limits.fast_kernels, limits.of(gate.output or "", "floor_ratio")
    floor = floors.values.get(gate.output or "")
    if gate.passed or gate.value is None or measurement is None or plain is None or told is None:
        return gate
    if most is None or ratio is None or floor is None:
        return gate
    error, shipped = told.signal_error, told.shipped
    if error is None or shipped is None or error / floor > ratio:
        return gate
    if not measurement.outputs[gate.output or ""].floating:
        return gate
    raised = {"signal_error": most, "floor_ratio": max(gate.limit, most / floor)}.get(gate.bound)
    own = gate.value * floor if gate.bound == "floor_ratio" else gate.value
    if raised is None or own > ALIKE * shipped:
        return gate
    without = f"without {plain.without}"
    if gate.value > raised:
        right = f"{without}, the signal error is {error:.2g}"
        return replace(gate, reason=f"{gate.reason}; {right}" if gate.reason else right)
    reason = f"{FAST_KERNELS} {shipped:.2g}, and {error:.2g} {without}; raised from {gate.limit:g}"
    return replace(gate, limit=raised, passed=True, reason=reason)


def notes(gates: Iterable[Gate]) -> Iterator[str]:
    """What is said of each output that is off by its runtime's fast kernels."""
    told = [gate for gate in gates if gate.passed and (gate.reason or "").startswith(FAST_KERNELS)]
    for output, reason in {gate.output: gate.reason or "" for gate in told}.items():
        yield f"`{output}`: {reason.partition('; ')[0]}"
