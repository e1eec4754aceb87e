"""The tolerances that hold where a recipe names none.

They are bounds on `signal_error`, the one figure that means the same for every output: it has no units, and
large constant parts do not dilute it. Half a decimal digit or so above what sound conversions of small
models show (float32: below 1e-4; float16: 1e-4 to 1.4e-2; 8 bits: 0.01 to 0.15), and below what a broken
one does (a swapped gate, a lost layer, collapsed ranges: 0.3 and more).

Artifacts in float32 and float16 are held to the model's own precision besides (`floor_ratio`): a wrong
epsilon or a bias that was dropped hides below 1e-3, and not below thirty times what float32 costs the model.
An ill-conditioned model may not keep the bound on `signal_error` in any runtime, torch included: where that
multiple of its floor is above the bound, the multiple is the bound.

The factors: over the 38 architectures of `benchmarks/zoo`, the `signal_error` of 270 artifacts in float32
(ONNX Runtime, LiteRT, OpenVINO, ExecuTorch, torch) is at most 4.0 times torch's own floor, but for one of
ExecuTorch, where XNNPACK computes another form of GELU (394 times): see `Runtime.approximates`. Float16
files of LiteRT are at most 0.8 times the model in float16. Kernels of other vendors may differ more than
these do, and a false alarm costs a user more than a fault of thirty times a rounding error, hence the room.
An evaluator uses torch's own kernels and has none of that: 10, and 2 in float16, where it is at most 1.6
times.

`top1_agreement` is not among them: it means something for the scores of classes only, and a model
that gives a picture or a vector would fail it while being right. Recipes of classifiers should name
it, with `metric_drop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FLOAT32 = MappingProxyType({"signal_error": 1e-3})
FLOAT16 = MappingProxyType({"signal_error": 2e-2})
"""11 bits of mantissa in weights and activations."""
BFLOAT16 = MappingProxyType({"signal_error": 5e-2})
"""8 bits of mantissa."""
INTEGERS = MappingProxyType({"signal_error": 0.15})
"""Integers of 8 bits; fewer bits need bounds of their own, chosen by the task's metric."""

BY_SCHEME: Mapping[str | None, Mapping[str, float]] = MappingProxyType(
    {
        None: FLOAT32,
        "float16": FLOAT16,
        "bfloat16": BFLOAT16,
        "weight-only": INTEGERS,
        "dynamic": INTEGERS,
        "static": INTEGERS,
        "mixed": INTEGERS,
    }
)

FLOORS: Mapping[str | None, str] = MappingProxyType({None: "float32", "float16": "float16"})
"""By scheme, the precision whose cost artifacts are held to; the others have none."""
ABOVE_FLOOR = MappingProxyType({None: 30.0, "float16": 4.0})
EVALUATED_ABOVE_FLOOR = MappingProxyType({None: 10.0, "float16": 2.0})


def default_bounds(
    scheme: str | None, *, evaluated: bool = False, approximates: bool = False
) -> Mapping[str, float]:
    """The bounds for a quantization scheme.

    Args:
        scheme: `None` is an artifact in the model's own precision.
        evaluated: Whether the project's own evaluator runs it, and not its runtime.
        approximates: Whether its runtime has kernels that approximate (see `Runtime`): `floor_ratio` is
            then no bound.
    """
    factors = EVALUATED_ABOVE_FLOOR if evaluated else ABOVE_FLOOR
    if scheme not in factors or approximates:
        return BY_SCHEME[scheme]
    return {**BY_SCHEME[scheme], "floor_ratio": factors[scheme]}


def raised(scheme: str | None, *, evaluated: bool = False) -> float | None:
    """The multiple of a model's floor that the default bound on `signal_error` is never below."""
    return (EVALUATED_ABOVE_FLOOR if evaluated else ABOVE_FLOOR).get(scheme)
