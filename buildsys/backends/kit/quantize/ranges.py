"""Ranges of activations, as calibration found them: an artifact of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..protocol.request import StepError


def write(
    path: Path,
    method: str,
    runs: int,
    tensors: Mapping[str, Sequence[tuple[float, float]]],
    tried: Mapping[str, float] | None = None,
) -> None:
    """Writes `ranges.json`.

    Args:
        path: Where to.
        method: The recipe's word for how ranges were taken.
        runs: How many runs of the model they were taken from.
        tensors: Name in the artifact to its ranges, least and greatest value, in the order of the
            graph: one, or one a channel.
        tried: Where several methods were tried, each with its error on held-out data.

    Raises:
        StepError: A range is empty or not finite.
    """
    for name, found in tensors.items():
        for low, high in found:
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise StepError(
                    f"calibration found the range [{low:g}, {high:g}] for `{name}`",
                    "look for values that overflow: run `modelbuild verify --locate` on the float "
                    "artifact",
                    "quantization.calibration",
                )
    record = {
        "version": 1,
        "method": method,
        "runs": runs,
        "tried": {key: value if math.isfinite(value) else None for key, value in tried.items()}
        if tried
        else None,
        "tensors": [
            {"name": name, "ranges": [[low, high] for low, high in found]}
            for name, found in tensors.items()
        ],
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
