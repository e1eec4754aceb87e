"""The error of an output relative to what the inputs change in it, as workers measure it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def signal_error(out: NDArray[Any], reference: NDArray[Any]) -> float | str:
    """‖out − ref‖ / ‖ref − mean of ref over the samples‖, as the host's `verify.metrics` has it.

    Args:
        out: [n, ...], one row a sample.
        reference: The same shape.

    Returns:
        The error; or, in words, why there is none.
    """
    got, ref = out.astype(np.float64), reference.astype(np.float64)
    if got.shape != ref.shape:
        return f"the shape is {list(got.shape)} instead of {list(ref.shape)}"
    agree = np.isfinite(got) & np.isfinite(ref)
    strays = int(np.count_nonzero(~agree & ~((got == ref) & ~np.isnan(got))))
    if strays:
        return f"{strays} of {got.size} elements are not finite"
    kept = np.where(agree, ref, 0.0)
    mean = kept.sum(axis=0) / np.maximum(agree.sum(axis=0), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        signal = float(np.linalg.norm(np.where(agree, kept - mean, 0.0)))
        error = float(np.linalg.norm((got - ref)[agree]))
    if not signal or not np.isfinite(error / signal):
        return "it does not vary over the samples"
    return error / signal
