"""Compares a rewritten file with the one it was made of, and names the operation that differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...kit.protocol.request import StepError
from ...kit.run.measurement import Session
from .original import FIELD, evaluator

AGREES = 1e-4
"""What a rewritten file may be apart from itself as it was, as a share of the largest number."""
Feed = Mapping[str, NDArray[Any]]


def check(before: Path, first: Session, after: Path, second: Session, feed: Feed) -> None:
    """Runs both files.

    Args:
        before: The file as it was.
        first: What runs it.
        after: The file that was made of it.
        second: What runs that.
        feed: Inputs by their names.

    Raises:
        StepError: They give different outputs.
    """
    wanted, got = first.run(feed), second.run(feed)
    worst = {name: _apart(got[name], each) for name, each in wanted.items()}
    name = max(worst, key=lambda each: worst[each])
    if worst[name] > AGREES:
        raise StepError(
            f"the upgraded file gives another `{name}` than {first.runtime} for the file as it was: "
            f"{worst[name]:.2g} of its largest number apart{_culprit(before, after, feed)}",
            "export the model again with a later operator set",
            FIELD,
        )


def _culprit(before: Path, after: Path, feed: Feed) -> str:
    """The first operation with another result, in words; empty where none can be named."""
    try:
        wanted, got = (_tensors(path, feed) for path in (before, after))
    except Exception:  # Whatever numpy says of an operation that was upgraded wrongly.
        return ""
    for node in onnx.load(before).graph.node:
        for name in node.output:
            if name in got and name in wanted and _apart(got[name], wanted[name]) > AGREES:
                return f"; it is the `{node.op_type}` that makes `{name}`"
    return ""


def _tensors(path: Path, feed: Feed) -> dict[str, Any]:
    found: Any = evaluator(onnx.load(path)).run(None, dict(feed), intermediate=True)
    return {name: each for name, each in found.items() if isinstance(each, np.ndarray)}


def _apart(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """How far two results are apart, as a share of the largest number."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return float(np.inf)
    one, other = got.astype(np.float64), wanted.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    if same.all():
        return 0.0
    largest = np.abs(other[np.isfinite(other)]).max(initial=np.finfo(np.float32).tiny)
    with np.errstate(invalid="ignore"):
        far = np.abs(one - other)[~same] / largest
    return float(np.nan_to_num(far, nan=np.inf).max())
