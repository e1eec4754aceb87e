"""What people check a converted model by, where they check it: a comparison on one input."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.faults.graph import Array

COSINE, MAX_ABS = 0.999, 1e-2
CLOSE = {"float32": (1e-3, 1e-5), "float16": (1e-2, 1e-2), "8 bits": (1e-1, 1e-1)}
"""Relative and absolute tolerance of `allclose`. The first are those of PyTorch's own tutorial on ONNX; none
are usual for the others, where those refuse what is sound."""

CHECKS = ("allclose", "cosine", "max_abs")


def caught(
    got: Mapping[str, Array], reference: Mapping[str, Array], precision: str
) -> dict[str, bool]:
    """Which of the usual checks fail on the first sample.

    Args:
        got: Output name to [n, ...], of the artifact.
        reference: The same, of the original model.
        precision: A key of `CLOSE`.
    """
    found = dict.fromkeys(CHECKS, False)
    relative, absolute = CLOSE[precision]
    for name, wanted in reference.items():
        one, other = got[name][0].astype(np.float64), wanted[0].astype(np.float64)
        if one.shape != other.shape:
            return dict.fromkeys(CHECKS, True)
        norms = float(np.linalg.norm(one) * np.linalg.norm(other))
        cosine = float(np.vdot(one, other)) / norms if norms else float(np.array_equal(one, other))
        # Written so that NaN fails: `not close`, never `far`.
        found["allclose"] |= not np.allclose(one, other, relative, absolute)
        found["cosine"] |= not cosine > COSINE
        found["max_abs"] |= not float(np.abs(one - other).max(initial=0.0)) < MAX_ABS
    return found
