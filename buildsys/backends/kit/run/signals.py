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
MOST_PARTS, LEAST_PART = 256, 64
"""Parts along an axis, and numbers in a part."""
SMALL, LEAST_SIGNAL = 0.1, 1e-6
"""Of what the part that varies most varies by: between these a part is judged for itself."""


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


def part_errors(out: NDArray[Any], reference: NDArray[Any]) -> dict[str, list[float | None]]:
    """The errors of small parts of an output that joins quantities of different size: boxes and scores.

    A part is all that one index along an axis has. It is small where it varies by less than a tenth of what
    the part that varies most does: what is wrong with it is little in the error of the whole.

    Args:
        out: [n, ...], one row a sample.
        reference: The same shape.

    Returns:
        By axis, as text: ‖out − ref‖ / ‖ref − mean of ref over the samples‖ of each part; `None` of parts
        that are not small, and of those that vary by less than float32 rounds the largest. Axes without small
        parts, and those of more than `MOST_PARTS`, are left out; so is all where shapes differ, or a value is
        a stray.
    """
    got, ref = out.astype(np.float64), reference.astype(np.float64)
    if got.shape != ref.shape or reference.dtype.kind != "f":
        return {}
    compared, strays = agreement(got, ref)
    if strays.any():
        return {}
    wrong = np.where(compared, got, 0.0) - np.where(compared, ref, 0.0)
    varying = varying_part(ref, compared)
    found: dict[str, list[float | None]] = {}
    for axis in range(1, ref.ndim):
        count = ref.shape[axis]
        if not 2 <= count <= MOST_PARTS or ref.size // count < LEAST_PART:
            continue
        signals = [norm(np.asarray(varying.take(at, axis))) for at in range(count)]
        most = max(signals)
        small = [LEAST_SIGNAL * most < signal < SMALL * most for signal in signals]
        if any(small):
            found[str(axis)] = [
                norm(np.asarray(wrong.take(at, axis))) / signals[at] if small[at] else None
                for at in range(count)
            ]
    return found


def parts(out: NDArray[Any], reference: NDArray[Any]) -> dict[str, Any]:
    """What a record has of `part_errors`: nothing of an output without small parts."""
    errors = part_errors(out, reference)
    return {"parts": errors} if errors else {}


def signal_errors(
    got: Mapping[str, NDArray[Any]] | str,
    exact: Mapping[str, NDArray[Any]] | str,
    names: Iterable[str],
) -> dict[str, dict[str, Any]]:
    """The `signal_error` of each output, with those of its `parts`, or the `reason` for none.

    Args:
        got: By output, [n, ...]; or why a run gave none.
        exact: What it is compared with, likewise.
        names: Of the outputs.
    """
    if isinstance(exact, str) or isinstance(got, str):
        reason = exact if isinstance(exact, str) else str(got)
        return {name: {"reason": reason} for name in names}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        error = signal_error(got[name], exact[name])
        if isinstance(error, str):
            found[name] = {"reason": error}
            continue
        found[name] = {"signal_error": error, **parts(got[name], exact[name])}
    return found


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
