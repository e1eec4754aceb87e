"""How far an artifact's output is from the original model's, as figures.

Every figure is a finite number or `None`. `None` means that it could not be computed, and fails any
bound on it: a NaN, which compares false with everything, never reaches a gate.

Both sides are compared in float64. What is not finite takes part only by agreeing: an infinity where
the reference has the same infinity (a masked logit) is right, and left out of the sums; any other
value that is not finite leaves all error figures `None`, since no number says how wrong it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.run.signals import Values, agreement, norm, varying_part
from buildsys.verify.outputs.fault import VerifyError

SQNR_CAP_DB = 300.0
"""What `sqnr_db` says for outputs that are equal: JSON has no infinity. Float64 itself ends there."""

REFERENCE_LIMIT = 1e150
"""Beyond it squares leave float64's range; no model gives such values on purpose."""

LEAST_VARIATION = 8 * float(np.finfo(np.float32).eps)
"""How much an output must vary over the samples, relative to its size.

Artifacts compute in float32. Rounding moves a value by half an epsilon of its size and more, so that of an
output which varies by less than this the error is noise, in an artifact that is right as in one that is not.
"""


@dataclass(frozen=True)
class Figures:
    """The comparison of one output over all samples.

    Attributes:
        errors: The figures of `FIGURES`, by name.
        nan_count: NaNs in the artifact's output.
        inf_count: Infinities in the artifact's output.
        nonfinite_mismatch: Elements where one side is not finite and the other is not the same.
        shape_match: Whether the shapes are equal; all error figures are `None` where they are not.
        dtype_match: Whether both are floating, both whole numbers, or both booleans. The width may
            differ: float16 and int32 outputs are compared with float32 and int64 ones.
        shape: The artifact's, with the sample axis.
        reference_shape: The original model's.
        dtype: The artifact's, numpy's name.
        reference_dtype: The original model's.
    """

    errors: Mapping[str, float | None]
    nan_count: int
    inf_count: int
    nonfinite_mismatch: int
    shape_match: bool
    dtype_match: bool
    shape: tuple[int, ...]
    reference_shape: tuple[int, ...]
    dtype: str
    reference_dtype: str

    def to_json(self) -> dict[str, Any]:
        """The figures by name, representable in strict JSON."""
        return {
            **self.errors,
            "nan_count": self.nan_count,
            "inf_count": self.inf_count,
            "nonfinite_mismatch": self.nonfinite_mismatch,
            "shape_match": self.shape_match,
            "dtype_match": self.dtype_match,
            "shape": list(self.shape),
            "reference_shape": list(self.reference_shape),
            "dtype": self.dtype,
            "reference_dtype": self.reference_dtype,
        }


def compare(
    artifact: NDArray[Any], reference: NDArray[Any], name: str = "output", signal: float = 0.0
) -> Figures:
    """Compares an artifact's output with the original model's.

    Args:
        artifact: [n, ...], one row a sample; floating, whole or boolean.
        reference: [n, ...], two samples or more, which differ.
        name: The output's name, for errors.
        signal: How much the output is known to vary (see `variation`), where these samples are too
            few to tell: errors are relative to no less, and the reference need not vary.

    Raises:
        VerifyError: The reference allows no judgement: fewer than two samples, no elements, NaN,
            values beyond `REFERENCE_LIMIT`, or values that do not vary over the samples; or a dtype
            is not of numbers.
    """
    _check_numeric(artifact, name)
    ref = _checked_reference(reference, name, varies=not signal)
    out = artifact.astype(np.float64)
    shape_match = artifact.shape == reference.shape
    mismatch = 0
    errors: dict[str, float | None] = dict.fromkeys(FIGURES)
    if shape_match:
        agree, strays = agreement(out, ref)
        mismatch = int(np.count_nonzero(strays))
        if not mismatch:
            difference = _difference(artifact, reference, out, ref)
            pair = _Pair(out, ref, difference, agree, signal, reference.dtype)
            if pair.finite:
                errors = {name: figure(pair) for name, figure in FIGURES.items()}
    return Figures(
        errors=errors,
        nan_count=int(np.count_nonzero(np.isnan(out))),
        inf_count=int(np.count_nonzero(np.isinf(out))),
        nonfinite_mismatch=mismatch,
        shape_match=shape_match,
        dtype_match=_family(artifact.dtype) == _family(reference.dtype),
        shape=artifact.shape,
        reference_shape=reference.shape,
        dtype=str(artifact.dtype),
        reference_dtype=str(reference.dtype),
    )


def row_errors(artifact: NDArray[Any], reference: NDArray[Any]) -> Values | None:
    """The error of each sample, such that the root of their mean square is `signal_error`.

    Args:
        artifact: [n, ...], one row a sample.
        reference: [n, ...], fit to be compared with.

    Returns:
        [n]; infinite where a value is not finite and the reference is not the same, or where the error
        is beyond what a float64 can hold. `None` where the shapes differ.
    """
    if artifact.shape != reference.shape:
        return None
    out, ref = artifact.astype(np.float64), reference.astype(np.float64)
    agree, strays = agreement(out, ref)
    difference = np.where(agree, _difference(artifact, reference, out, ref), 0.0)
    signal = norm(varying_part(ref, np.isfinite(ref))) / math.sqrt(len(ref))
    with np.errstate(over="ignore"):
        errors = np.array([norm(row) for row in difference.reshape(len(ref), -1)]) / signal
    return np.where(strays.reshape(len(ref), -1).any(axis=1), np.inf, errors)


def variation(reference: NDArray[Any]) -> float:
    """The rms of an output [n, ...] minus its mean over the samples, of its finite elements."""
    ref = reference.astype(np.float64)
    finite = np.isfinite(ref)
    return norm(varying_part(ref, finite)) / math.sqrt(max(1, int(finite.sum())))


def _family(dtype: np.dtype[Any]) -> str:
    return {"f": "floating", "i": "whole", "u": "whole", "b": "boolean"}.get(dtype.kind, "other")


def _check_numeric(values: NDArray[Any], name: str) -> None:
    if _family(values.dtype) == "other":
        raise VerifyError(
            f"the output `{name}` is of the type {values.dtype}, which is not compared",
            "give the model outputs of floating, whole or boolean type",
            "outputs",
        )


def _checked_reference(reference: NDArray[Any], name: str, varies: bool) -> Values:
    """The reference in float64, fit to measure errors against; `varies`: whether it has to."""
    _check_numeric(reference, name)
    if reference.ndim == 0 or len(reference) < 2:
        raise VerifyError(
            f"the output `{name}` of the original model has fewer than two samples",
            "raise `count` to 2 or more: errors are measured against how much outputs vary",
        )
    if varies and reference.size == 0:
        raise VerifyError(
            f"the output `{name}` of the original model has no elements "
            f"(shape {list(reference.shape)})",
            "give samples for which it has some",
        )
    ref = reference.astype(np.float64)
    bad = int(np.count_nonzero(np.isnan(ref)))
    if bad:
        raise VerifyError(
            f"the output `{name}` of the original model holds {bad} NaN",
            "nothing can be compared with NaN: give other samples, or check the weights",
        )
    finite = np.isfinite(ref)
    if np.abs(ref[finite]).max(initial=0.0) > REFERENCE_LIMIT:
        raise VerifyError(
            f"the output `{name}` of the original model goes beyond {REFERENCE_LIMIT:g}",
            "give other samples, or check the weights",
        )
    if varies:
        _check_variation(reference.dtype, ref, finite, name)
    return ref


def _check_variation(
    dtype: np.dtype[Any], ref: Values, finite: NDArray[np.bool_], name: str
) -> None:
    varying, size = norm(varying_part(ref, finite)), norm(ref[finite])
    # Rounding alone makes a constant vary by an epsilon; errors relative to that would be noise.
    grain = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    hint = "give other samples, or check that the weights are those of a trained model"
    if varying <= grain * size:
        raise VerifyError(
            f"the output `{name}` of the original model does not vary over the samples", hint
        )
    if dtype.kind == "f" and varying <= LEAST_VARIATION * size:
        raise VerifyError(
            f"the output `{name}` of the original model hardly varies over the samples: by "
            f"{varying / size:.1e} of its size, which is rounding in float32",
            hint,
        )


def _difference(
    artifact: NDArray[Any], reference: NDArray[Any], out: Values, ref: Values
) -> Values:
    """`out - ref`, exact for whole numbers that float64 cannot tell apart."""
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf: masked out by the caller.
        difference = out - ref
    if artifact.dtype.kind in "iu" and reference.dtype.kind in "iu":
        for at in np.argwhere((difference == 0) & (artifact != reference)):
            place = tuple(at)
            difference[place] = int(artifact[place]) - int(reference[place])
    return difference


class _Pair:
    """Two outputs beside each other, and what several figures have in common.

    Args:
        out: The artifact's, [n, ...].
        ref: The original's, [n, ...].
        difference: `out - ref`.
        compared: The elements that figures are of.
        least: The least rms of the signal.
        dtype: The original's type.
    """

    def __init__(
        self,
        out: Values,
        ref: Values,
        difference: Values,
        compared: NDArray[np.bool_],
        least: float,
        dtype: np.dtype[Any],
    ) -> None:
        self.whole_out, self.whole_ref, self.dtype = out, ref, dtype
        self.out, self.ref, self.difference = out[compared], ref[compared], difference[compared]
        # Nothing but infinities, where the same may be on both sides, leaves one to divide by.
        self.root = math.sqrt(max(1, self.difference.size))
        self.signal = max(norm(varying_part(ref, np.isfinite(ref))), least * self.root)
        self.error, self.out_norm = norm(self.difference), norm(self.out)
        self.ref_norm = max(norm(self.ref), least * self.root)

    @property
    def finite(self) -> bool:
        """Whether its sizes are numbers, so that there are figures."""
        return math.isfinite(max(self.error, self.out_norm))


FIGURES: dict[str, Callable[[_Pair], float | None]] = {}
"""What each bound on outputs is a bound on, by its name; see `buildsys.bounds`."""


def _figure(function: Callable[[_Pair], float | None]) -> Callable[[_Pair], float | None]:
    FIGURES[function.__name__] = function
    return function


@_figure
def signal_error(pair: _Pair) -> float | None:
    """‖out − ref‖ / ‖ref − mean of ref over the samples‖, Frobenius norms over all samples and elements.

    Relative to what the inputs change, so that a large constant part (biases) hides nothing, as it does with
    `cosine`.
    """
    return _number(pair.error / pair.signal)


@_figure
def max_abs(pair: _Pair) -> float | None:
    """Max |out − ref|, in the output's units."""
    return _number(np.abs(pair.difference).max(initial=0.0))


@_figure
def max_rel(pair: _Pair) -> float | None:
    """Max of |out − ref| / max(|ref|, rms of ref).

    The floor makes it sound on zeros: an element smaller than the output's usual size is judged by that size.
    """
    least = np.maximum(np.abs(pair.ref), pair.ref_norm / pair.root)
    return _number((np.abs(pair.difference) / least).max(initial=0.0))


@_figure
def mean_abs(pair: _Pair) -> float | None:
    """Mean |out − ref|, in the output's units."""
    return _number((np.abs(pair.difference) / pair.difference.size).sum())


@_figure
def rmse(pair: _Pair) -> float | None:
    """√(mean (out − ref)²), in the output's units."""
    return _number(pair.error / pair.root)


@_figure
def cosine(pair: _Pair) -> float | None:
    """out·ref / (‖out‖ ‖ref‖), all samples as one vector; 0 where `out` is all zeros."""
    if not pair.error:
        return 1.0
    if not pair.out_norm:
        return 0.0
    found = float((pair.out / pair.out_norm) @ (pair.ref / pair.ref_norm))
    return _number(min(max(found, -1.0), 1.0))


@_figure
def sqnr_db(pair: _Pair) -> float | None:
    """20 log₁₀(‖ref‖ / ‖out − ref‖), at most `SQNR_CAP_DB`."""
    if not pair.error:
        return SQNR_CAP_DB
    # A difference of logarithms: the quotient of the norms may leave float64's range.
    found = 20 * (math.log10(pair.ref_norm) - math.log10(pair.error))
    return _number(min(found, SQNR_CAP_DB))


@_figure
def top1_agreement(pair: _Pair) -> float | None:
    """The part of the rows along the last axis whose greatest element is the reference's greatest.

    Any of them, where several tie; `None` where the reference is not floating or has no last axis of two or
    more.
    """
    ref = pair.whole_ref
    if pair.dtype.kind != "f" or ref.ndim < 2 or ref.shape[-1] < 2:
        return None
    chosen = np.take_along_axis(ref, pair.whole_out.argmax(axis=-1)[..., None], axis=-1)
    return float((chosen[..., 0] == ref.max(axis=-1)).mean())


def _number(value: float | np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None
