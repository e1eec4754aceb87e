"""The steps: load a dataset by the user's code, decode a folder of images, compute a metric."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit import arrays, entry
from ..kit.arrays import LABELS, Arrays
from ..kit.request import Request, StepError
from .images import images

__all__ = ["images", "load", "metric"]

PRELOAD = {"images": ("PIL.Image",)}
"""What each step imports late; see `toolchains/worker_forks.py`."""
SOURCE = "source.python"
METRIC = "evaluate.python"


def load(request: Request) -> None:
    """Loads arrays by a function of the project's.

    It takes no arguments and returns a mapping from names to arrays, or a pair of such a mapping and
    labels; the first axis of each is the samples.

    Options: `python` (`module:callable`), `limit` (the first so many, or `null`).
    Outputs: `samples` (`.npz`; labels under `kit.arrays.LABELS`).

    Raises:
        StepError: The function fails, or returns something else.
    """
    name = request.options["python"]
    returned = entry.call(name, request.project, SOURCE)
    labels: Any = None
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Mapping):
        returned, labels = returned
    if not isinstance(returned, Mapping) or not returned:
        what = "an empty mapping" if isinstance(returned, Mapping) else f"`{_kind(returned)}`"
        raise StepError(
            f"`{name}` returned {what}, not a mapping from names to arrays",
            "return `{'image': array}`, or `({'image': array}, labels)`",
            SOURCE,
        )
    rows: Arrays = {str(key): _array(value, f"`{key}`", name) for key, value in returned.items()}
    if labels is not None:
        rows[LABELS] = _array(labels, "the labels", name)
    lengths = {len(array) for array in rows.values()}
    if len(lengths) != 1 or lengths == {0}:
        sizes = ", ".join(
            f"{'labels' if key == LABELS else key}: {len(array)}" for key, array in rows.items()
        )
        raise StepError(
            f"the arrays of `{name}` must be of one length, and not empty ({sizes})", None, SOURCE
        )
    limit = request.options.get("limit")
    arrays.save(request.outputs["samples"], {key: array[:limit] for key, array in rows.items()})


def metric(request: Request) -> None:
    """Computes the user's metric for an artifact and for the original.

    The function takes the outputs (name to [n, ...]) and the labels ([n, ...], or `None` where the
    dataset has none), and returns a number.

    Inputs: `got_evaluation` and `reference_evaluation` (outputs), `evaluation` (inputs and labels).
    Options: `python` (`module:function`).
    Outputs: `metric` (`metric.json`: `value` of the artifact, `reference` of the original). A NaN is
    written as one: it is a bad figure, not a failed step.

    Raises:
        StepError: The function fails or returns no number, or gives NaN for the original.
    """
    name = request.options["python"]
    labels = arrays.load(request.inputs["evaluation"]).get(LABELS)
    figures = {}
    for key, role in (("reference", "reference_evaluation"), ("value", "got_evaluation")):
        outputs = arrays.load(request.inputs[role])
        figures[key] = _figure(name, outputs, labels, request)
    if np.isnan(figures["reference"]):
        raise StepError(f"`{name}` gives NaN for the original model", None, METRIC)
    request.outputs["metric"].write_text(json.dumps(figures, sort_keys=True) + "\n")


def _figure(
    name: str, outputs: Arrays, labels: NDArray[np.generic] | None, request: Request
) -> float:
    try:
        returned = entry.call(name, request.project, METRIC, outputs, labels)
    except StepError as error:
        hint = (
            "the dataset has no labels; name their array by `labels:`" if labels is None else None
        )
        raise StepError(error.message, error.hint or hint, error.field) from error
    try:
        return float(returned)
    except (TypeError, ValueError) as error:
        raise StepError(
            f"`{name}` returned `{_kind(returned)}`, not a number", None, METRIC
        ) from error


def _array(value: Any, what: str, name: str) -> NDArray[Any]:
    if hasattr(value, "detach"):  # A tensor of torch's, which need not be importable here.
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise StepError(
            f"`{name}` returned {what} with rows of unequal shape", None, SOURCE
        ) from error
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise StepError(
            f"`{name}` returned {what} of type `{_kind(value)}` ({array.dtype}), not an array of numbers",
            None,
            SOURCE,
        )
    return array


def _kind(value: Any) -> str:
    return type(value).__name__
