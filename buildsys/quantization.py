"""Every quantization scheme and calibration method that a recipe may name, in two tables.

The recipe's schema, the search, the check of what backends declare, and the docs read them. To add a scheme,
add an entry here, what its artifacts may err by default to `verify/judgment/defaults.py`, and a `Scheme` to
each format that can take it (`backends/base.py`). To add a calibration method, add an entry here, compute
it in `backends/kit/quantize/clipping.py`, and name it in the `methods` of formats.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuantizationScheme:
    """One scheme.

    Attributes:
        name: The recipe's word.
        description: What it does, as the recipe's schema says it.
        floats: Whether it narrows floats, and makes no integers.
        searched: Whether a search may name it without a profile. Which layers a mixed one mixes, only a
            recipe can say.
        depth: How much of a model it reaches: weights only (0), activations too (2), by ranges that are
            fixed beforehand (3). A search expects the deeper of two to err more.
    """

    name: str
    description: str
    floats: bool = False
    searched: bool = True
    depth: int = 0


@dataclass(frozen=True)
class CalibrationMethod:
    """One way to take the range of activations from the values seen.

    Attributes:
        name: The recipe's word.
        description: What the range is, as the recipe's schema says it.
    """

    name: str
    description: str


SCHEMES = (
    QuantizationScheme("float16", "stores and computes in 16 bits", floats=True),
    QuantizationScheme("bfloat16", "does so with 8 bits of mantissa", floats=True),
    QuantizationScheme("weight-only", "stores integers and computes in float"),
    QuantizationScheme("dynamic", "finds the ranges of activations while it runs", depth=2),
    QuantizationScheme("static", "takes them from calibration data", depth=3),
    QuantizationScheme("mixed", "gives layers profiles of their own", searched=False),
)
METHODS = (
    CalibrationMethod("min-max", "all of them"),
    CalibrationMethod("moving-average", "a moving average of each batch's extremes"),
    CalibrationMethod("percentile", "all but the outermost"),
    CalibrationMethod("entropy", "what loses the least information"),
    CalibrationMethod("mse", "what has the least squared error"),
)

SCHEME_NAMES = tuple(each.name for each in SCHEMES)
FLOAT_SCHEMES = tuple(each.name for each in SCHEMES if each.floats)
SEARCHED = tuple(each.name for each in SCHEMES if each.searched)
DEPTHS = {each.name: each.depth for each in SCHEMES}
METHOD_NAMES = tuple(each.name for each in METHODS)
