"""Every quantization scheme and calibration method that a recipe may name, in two tables.

The recipe's schema, the search, the declarations of formats, and the docs read them. To add a scheme, add an
entry here, what its artifacts may err by default to `verify/judgment/defaults.py`, and a `Scheme` to each
format that can take it (`backends/base.py`). To add a calibration method, add an entry here and a function to
`CLIPPING` in `backends/kit/quantize/clipping.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuantizationScheme:
    """One scheme.

    Attributes:
        name: The recipe's word.
        description: What it makes, as the recipe's schema and the docs say it.
        floats: Whether it narrows floats, and makes no integers.
        searched: Whether a search may name it without a profile. Which layers a mixed one mixes, only a
            recipe can say.
        calibrated: Whether it needs calibration data.
        depth: How much of a model it reaches: weights only (0), activations too (2), by ranges that are
            fixed beforehand (3). A search expects the deeper of two to err more.
    """

    name: str
    description: str
    floats: bool = False
    searched: bool = True
    calibrated: bool = False
    depth: int = 0


@dataclass(frozen=True)
class CalibrationMethod:
    """One way to take the range of activations from the values seen.

    Attributes:
        name: The recipe's word.
        description: What the range is, as the recipe's schema and the docs say it.
        histogram: Whether it looks at all values, and not at each run's extremes alone.
    """

    name: str
    description: str
    histogram: bool = True


SCHEMES = (
    QuantizationScheme(
        "float16", "weights in 16-bit floats; the format says what it computes in", floats=True
    ),
    QuantizationScheme(
        "bfloat16",
        "the same with the range of float32, and 8 significant bits in place of 11",
        floats=True,
    ),
    QuantizationScheme(
        "weight-only", "weights as integers or indices into a palette; arithmetic in floats"
    ),
    QuantizationScheme(
        "dynamic",
        "weights as integers; arithmetic in integers where the runtime has them, with ranges of "
        "activations found in each run",
        depth=2,
    ),
    QuantizationScheme(
        "static",
        "weights as integers; arithmetic in integers, with ranges of activations that calibration "
        "data fix beforehand",
        calibrated=True,
        depth=3,
    ),
    QuantizationScheme("mixed", "each layer has a profile of its own", searched=False),
)
METHODS = (
    CalibrationMethod("min-max", "the smallest and the largest value", histogram=False),
    CalibrationMethod(
        "moving-average",
        "the smallest and largest value of each run, averaged from run to run; it clips rare values",
        histogram=False,
    ),
    CalibrationMethod(
        "percentile",
        "all but the outermost values, equally many at both ends; `percentile` is the part within, 99.99 "
        "by default",
    ),
    CalibrationMethod(
        "entropy",
        "the range whose quantized values differ least from the observed ones, by Kullback-Leibler "
        "divergence",
    ),
    CalibrationMethod(
        "mse", "the range with the least squared error of rounding and clipping together"
    ),
)

SCHEME_NAMES = tuple(each.name for each in SCHEMES)
FLOAT_SCHEMES = tuple(each.name for each in SCHEMES if each.floats)
CALIBRATED = tuple(each.name for each in SCHEMES if each.calibrated)
SEARCHED = tuple(each.name for each in SCHEMES if each.searched)
DEPTHS = {each.name: each.depth for each in SCHEMES}
METHOD_NAMES = tuple(each.name for each in METHODS)
