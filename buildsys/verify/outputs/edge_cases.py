"""Artifacts at the edges of their inputs, compared with the original; see `kit.run.edges`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol.arrays import Arrays, grouped
from buildsys.backends.kit.run.edges import NEARLY
from buildsys.verify.outputs.metrics import compare, variation

STEADY = 1e-4
"""A case counts by its error where the original itself moves by no more for nearly the same input."""


def edges(
    got: Arrays, reference: Arrays, samples: Arrays, names: list[str]
) -> list[dict[str, Any]]:
    """The figures of each case.

    Args:
        got: The artifact's outputs, `CASE/OUTPUT`, one row each.
        reference: The original's, of the same and of nearly the same inputs.
        samples: The original's outputs for the samples: they tell how much outputs vary.
        names: The outputs.

    Returns:
        A list of `case`, `outputs` (figures by output) and `steady` (whether an output, by name, is
        told by its inputs and not by rounding).
    """
    artifacts, originals = grouped(got), grouped(reference)
    found = []
    for case, outputs in artifacts.items():
        original, nearly = originals[case], originals.get(case + NEARLY, {})
        figures, steady = {}, {}
        for name in names:
            signal = _signal(original[name], samples[name])
            figures[name] = _figures(outputs[name], original[name], name, signal)
            moved = [
                _figures(row[np.newaxis], original[name], name, signal)["signal_error"]
                for row in nearly.get(name, ())
            ]
            steady[name] = bool(moved) and all(
                error is not None and error <= STEADY for error in moved
            )
        found.append({"case": case, "outputs": figures, "steady": steady})
    return found


def _signal(row: NDArray[Any], samples: NDArray[Any]) -> float:
    """How much an output is known to vary: over the samples, or from these to the edge.

    Large values at an edge are rounded by more than the samples' are.
    """
    signal = variation(samples)
    if row.shape[1:] != samples.shape[1:] or row.dtype.kind != "f":
        return signal
    mean = np.where(np.isfinite(samples), samples, 0).astype(np.float64).mean(axis=0)
    return max(signal, float(np.linalg.norm(row[0] - mean)) / math.sqrt(max(1, mean.size)))


def _figures(got: NDArray[Any], original: NDArray[Any], name: str, signal: float) -> dict[str, Any]:
    # Twice the same: a comparison needs two samples, and figures are means over them.
    return compare(np.repeat(got, 2, 0), np.repeat(original, 2, 0), name, signal).to_json()
