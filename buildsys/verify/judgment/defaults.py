"""The tolerances that hold where a recipe names none.

They are bounds on `signal_error`, the one figure that means the same for every output: it has no units, and
large constant parts do not dilute it. Half a decimal digit or so above what sound conversions of small
models show (float32: below 1e-4; float16: 1e-4 to 1.4e-2; 8 bits: 0.01 to 0.15), and below what a broken
one does (a swapped gate, a lost layer, collapsed ranges: 0.3 and more).

Artifacts in float32 and float16 are held to the model's own precision besides (`floor_ratio`): a wrong
epsilon or a bias that was dropped hides below 1e-3, and not below thirty times what float32 costs the model.
An ill-conditioned model may not keep the bound on `signal_error` in any runtime, torch included: where that
multiple of its floor is above the bound, the multiple is the bound, up to `CAPS`. A model whose precision
costs it more has no measure in it, and is held to the cap, with a warning that names the operation.

The factors: over the 38 architectures of `benchmarks/zoo`, the `signal_error` of 270 artifacts in float32
(ONNX Runtime, LiteRT, OpenVINO, ExecuTorch, torch) is at most 4.0 times torch's own floor, but for one of
ExecuTorch, where XNNPACK computes another form of GELU (394 times): see `Runtime.approximates`. Float16
files of LiteRT are at most 0.8 times the model in float16. Kernels of other vendors may differ more than
these do, and a false alarm costs a user more than a fault of thirty times a rounding error, hence the room.
An evaluator uses torch's own kernels and has none of that: 10, and 2 in float16, where it is at most 1.6
times.

`top1_agreement` is not among them: it means something for the scores of classes only, and a model
that gives a picture or a vector would fail it while being right. Recipes of classifiers should name
it. What is quantized is held to `metric_drop` where the model has an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

FLOAT32 = MappingProxyType({"signal_error": 1e-3})
FLOAT16 = MappingProxyType({"signal_error": 2e-2})
"""11 bits of mantissa in weights and activations."""
BFLOAT16 = MappingProxyType({"signal_error": 5e-2})
"""8 bits of mantissa."""
INTEGERS = MappingProxyType({"signal_error": 0.15})
"""Integers of 8 bits."""
COARSE = MappingProxyType({"signal_error": 0.5})
"""Fewer bits, palettes, and weights of which some became zero, where nothing is known of the task.

With 4 bits a channel the outputs of `recipes/digits` are off by 0.19 and those of `recipes/activity` by
0.03, and neither loses one answer. With 3 bits it is 0.38 (2 points lost) and 0.05, with every second
weight zero 0.65 (6 points lost) and 0.25. Models that were never trained show a signal that is small beside
their weights: 0.1 to 3 with 4 bits in `benchmarks/zoo`. So no bound on errors can tell the good from the
bad here; this one keeps out what has little to do with the original.
"""
UNRELATED = 0.9
"""An output that errs more has nothing to do with the original's: its mean, whatever is fed, errs by 1."""
COARSE_JUDGED = MappingProxyType({"signal_error": UNRELATED})
"""The same where the task's metric decides."""
METRIC_DROP = MappingProxyType({"metric_drop": 0.05})
"""What a smaller artifact may lose at its task: 5 points of 100, or of other metrics 5 % of the original's.

Points, since 5 % of a classifier that is right in 40 of 100 cases would be 2, and of its errors 3. Guides to
mobile deployment give 5 % as what users do not notice; recipes should ask for less where they can.
"""

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
CAPS: Mapping[str | None, float] = MappingProxyType({None: 5e-2, "float16": 0.15})
"""The most that a default bound on `signal_error` is raised to, by scheme.

Each is the default of a coarser scheme: what is in float32 may be off by no more than bfloat16 costs, and
float16 by no more than integers of 8 bits. A broken artifact shows 0.3 and more, one that gives the mean
of all answers 1. What float32 costs a model is at most 4.0e-5 and what float16 does 0.061, over the zoo,
trained networks and a ResNet-50 with random weights (docs/accuracy.md).
"""
PARTS: Mapping[str | None, float] = MappingProxyType({None: 1e-2, "float16": 0.1})
"""What a small part of an output may err, by scheme: ten times what the whole may, and five times in float16.

Nudenet's output joins boxes, in pixels, and scores below 1: scores of a network without its class branch are
off by 1, and all of the output by 2.6e-5.
"""
FAST_KERNELS: Mapping[str | None, float] = MappingProxyType({None: 1e-2})
"""What a runtime's fast kernels may cost an artifact whose error without them is one of rounding.

They add up in another order, or approximate: XNNPACK costs an untrained Xception 1.4e-3 of a signal that is
a thousandth of its answer, OpenVINO's generated kernels a MobileViT 1e-4 (docs/coverage.md).
"""
GRAPH_ABOVE_FLOOR = 30.0
"""What the graph of an artifact in float16 may be off where the original is given its weights, in multiples
of what float32 costs the model: as much as an artifact in float32. In the zoo it is 2.2 at most."""
EVALUATED_ABOVE_FLOOR = MappingProxyType({None: 10.0, "float16": 2.0})


def default_bounds(
    scheme: str | None,
    *,
    evaluated: bool = False,
    approximates: bool = False,
    coarse: bool = False,
    metric: bool = False,
    transformed: bool = False,
) -> Mapping[str, float]:
    """The bounds for a quantization scheme.

    Args:
        scheme: `None` is an artifact in the model's own precision.
        evaluated: Whether the project's own evaluator runs it, and not its runtime.
        approximates: Whether its runtime has kernels that approximate (see `Runtime`): `floor_ratio` is
            then no bound.
        coarse: Whether weights have fewer than 8 bits or are of a palette, or some became zero.
        metric: Whether the model has an evaluation, whose metric counts for all that is quantized.
        transformed: Whether the model was pruned or trained before: its metric counts then, too.
    """
    task = METRIC_DROP if metric and (coarse or transformed or scheme is not None) else {}
    if coarse:
        return {**(COARSE_JUDGED if metric else COARSE), **task}
    factors = EVALUATED_ABOVE_FLOOR if evaluated else ABOVE_FLOOR
    if scheme not in factors or approximates:
        return {**BY_SCHEME[scheme], **task}
    return {**BY_SCHEME[scheme], "floor_ratio": factors[scheme], **task}


def cap(scheme: str | None) -> float:
    """The most that the default bound on `signal_error` may be raised to."""
    return CAPS.get(scheme, math.inf)


def raised(scheme: str | None, *, evaluated: bool = False) -> float | None:
    """The multiple of a model's floor that the default bound on `signal_error` is never below."""
    return (EVALUATED_ABOVE_FLOOR if evaluated else ABOVE_FLOOR).get(scheme)
