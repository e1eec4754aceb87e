"""The tolerances that hold where a recipe names none.

All are bounds on `signal_error`, the one figure that means the same for every output: it has no
units, and large constant parts do not dilute it. Half a decimal digit or so above what sound
conversions of small models show (float32: below 1e-4; float16: 1e-4 to 1.4e-2; 8 bits: 0.01 to
0.15), and below what a broken one does (a swapped gate, a lost layer, collapsed ranges: 0.3 and
more).

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


def default_bounds(scheme: str | None) -> Mapping[str, float]:
    """The bounds for a quantization scheme; `None` is an artifact in the model's own precision."""
    return BY_SCHEME[scheme]
