"""The operations of Core ML's ML programs, one module a family.

Each is a pure function whose signature is the operation's declaration; see `registry`. What an
operation means is taken from coremltools' documentation of it (`converters/mil/mil/ops/defs`), and
where that leaves something open, from the reference results of coremltools' own tests, which Apple
runs on devices (`ops/tests` beside it). What neither says is `Unsupported`, never a guess.

Floats come as float32 and leave as float32: results are rounded to their declared types by whoever
calls. Whole numbers leave in the type that they are declared to have.
"""

from __future__ import annotations

from . import (
    activations,
    arithmetic,
    attention,
    boxes,
    comparisons,
    convolution,
    creation,
    gathering,
    layout,
    matrices,
    normalization,
    pooling,
    quantization,
    randomness,
    recurrent,
    reduction,
    resampling,
    reshaping,
    resizing,
    scattering,
    slicing,
    sorting,
    unary,
)

__all__ = [
    "activations",
    "arithmetic",
    "attention",
    "boxes",
    "comparisons",
    "convolution",
    "creation",
    "gathering",
    "layout",
    "matrices",
    "normalization",
    "pooling",
    "quantization",
    "randomness",
    "recurrent",
    "reduction",
    "resampling",
    "reshaping",
    "resizing",
    "scattering",
    "slicing",
    "sorting",
    "unary",
]
