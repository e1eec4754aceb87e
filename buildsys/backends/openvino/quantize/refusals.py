"""NNCF's errors, as what a user can act on."""

from __future__ import annotations

import sys
import traceback

from ...kit.protocol.request import StepError

FIELD = "quantization"


def refused(error: Exception) -> StepError:
    """The error for a model that NNCF does not take."""
    traceback.print_exc(file=sys.stderr)
    if "Calibration dataset must not be empty" in str(error):
        return StepError(
            "a branch of the model (`If`) is taken by none of the calibration data: it has no ranges",
            "calibrate with data that take each branch, or take the scheme `weight-only` or `float16`",
            "quantization.calibration",
        )
    return StepError(
        f"NNCF refuses this model: {' '.join(f'{type(error).__name__}: {error}'.split())[:400]}",
        "take the scheme `weight-only` or `float16`, or name the layer in `keep_float`",
        FIELD,
    )
