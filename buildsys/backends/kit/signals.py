"""The error of an output relative to what the inputs change in it.

The parts of it are also those of the host, whose `verify.metrics` computes more from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
NOT_FINITE = "are not finite"


def signal_error(out: NDArray[Any], reference: NDArray[Any]) -> float | str:
    """‖out − ref‖ / ‖ref − mean of ref over the samples‖, Frobenius norms over all elements.

    Args:
        out: [n, ...], one row a sample.
        reference: The same shape.

    Returns:
        The error; or, in words, why there is none.
    """
    got, ref = out.astype(np.float64), reference.astype(np.float64)
    if got.shape != ref.shape:
        return f"the shape is {list(got.shape)} instead of {list(ref.shape)}"
    compared, strays = agreement(got, ref)
    count = int(np.count_nonzero(strays))
    if count:
        return f"{count} of {got.size} elements {NOT_FINITE}"
    with np.errstate(over="ignore"):
        error = norm(got[compared] - ref[compared])
    signal = norm(varying_part(ref, compared))
    if not signal:
        return "it does not vary over the samples"
    if not math.isfinite(error / signal):
        return "its error is beyond what a float64 holds"
    return error / signal


def signal_errors(
    got: Mapping[str, NDArray[Any]] | str,
    exact: Mapping[str, NDArray[Any]] | str,
    names: Iterable[str],
) -> dict[str, dict[str, float | str]]:
    """The `signal_error` of each output, or the `reason` for none.

    Args:
        got: By output, [n, ...]; or why a run gave none.
        exact: What it is compared with, likewise.
        names: Of the outputs.
    """
    if isinstance(exact, str) or isinstance(got, str):
        reason = exact if isinstance(exact, str) else str(got)
        return {name: {"reason": reason} for name in names}
    found = {name: signal_error(got[name], exact[name]) for name in names}
    return {
        name: {"reason": value} if isinstance(value, str) else {"signal_error": value}
        for name, value in found.items()
    }


def agreement(out: Values, ref: Values) -> tuple[Mask, Mask]:
    """Which elements are compared, and which are wrong whatever their difference.

    An infinity where the reference has the same one is neither: it is right, and left out of sums.

    Args:
        out: Any shape.
        ref: The same shape.

    Returns:
        Where both are finite; where one is not and the other is not the same.
    """
    finite = np.isfinite(out) & np.isfinite(ref)
    return finite, ~finite & (out != ref)


def varying_part(ref: Values, finite: Mask) -> Values:
    """A reference [n, ...] minus its mean over the samples, 0 where it is not finite."""
    kept = np.where(finite, ref, 0.0)
    count = np.maximum(finite.sum(axis=0), 1)
    # Divided before it is summed: a sum of large values may leave float64's range.
    mean = (kept / count).sum(axis=0)
    return np.where(finite, kept - mean, 0.0)


def norm(values: Values) -> float:
    """The Euclidean norm; scaled, so that squares neither overflow nor vanish."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(float(np.square(values / largest).sum()))
