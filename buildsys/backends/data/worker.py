"""The steps: load a dataset by the user's code, decode a folder of images, compute a metric."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.protocol import arrays, entry
from ..kit.protocol.arrays import LABELS, Arrays
from ..kit.protocol.request import Request, StepError
from ..kit.tasks import paired
from .images import images

__all__ = ["images", "load", "metric"]

PRELOAD = {"images": ("PIL.Image",)}
"""What each step imports late; see `toolchains/inside/forks.py`."""
SOURCE = "source.python"
METRIC = "evaluate.python"


def load(request: Request) -> None:
    """Loads arrays by a function of the project's.

    It takes no arguments and returns a mapping from names to arrays, or a pair of such a mapping and
    labels, an array or several by name; the first axis of each is the samples.

    Options: `python` (`module:callable`), `limit` (the first so many, or `null`).
    Outputs: `samples` (`.npz`; labels under `kit.protocol.arrays.LABELS`).

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
    if isinstance(labels, Mapping):
        several = {str(k): _array(v, f"the labels `{k}`", name) for k, v in labels.items()}
        rows = arrays.with_labels(rows, several)
    elif labels is not None:
        rows = arrays.with_labels(rows, _array(labels, "the labels", name))
    lengths = {len(array) for array in rows.values()}
    if len(lengths) != 1 or lengths == {0}:
        sizes = ", ".join(
            f"{key.replace(LABELS, 'labels')}: {len(array)}" for key, array in rows.items()
        )
        raise StepError(
            f"the arrays of `{name}` must be of one length, and not empty ({sizes})", None, SOURCE
        )
    limit = request.options.get("limit")
    arrays.save(request.outputs["samples"], {key: array[:limit] for key, array in rows.items()})


def metric(request: Request) -> None:
    """Computes the user's metric for an artifact and for the original, and how far chance goes.

    The function takes the outputs (name to [n, ...]) and the labels ([n, ...]; several by name where
    the dataset has several; `None` where it has none), and returns a number: the more, the better. It
    is called with rows drawn again besides, `resamples` times for each model, in this one process.

    Inputs: `got_evaluation` and `reference_evaluation` (outputs), `evaluation` (inputs and labels), and
    maybe `transformed_evaluation` (outputs of the model between the two, once its transforms are done).
    Options: `python` (`module:function`), `resamples`.
    Outputs: `metric` (`metric.json`: `value` of the artifact, `reference` of the original, `count`, the
    `interval` of the reference less the value, or `null`; maybe `transformed`). A NaN is written as one:
    it is a bad figure, not a failed step.

    Raises:
        StepError: The function fails or returns no number, or gives NaN for the original.
    """
    name, resamples = request.options["python"], request.options["resamples"]
    dataset = arrays.mapped(request.inputs["evaluation"])
    labels = arrays.labels_of(dataset)
    reference, got = (
        arrays.load(request.inputs[role]) for role in ("reference_evaluation", "got_evaluation")
    )
    figures: dict[str, Any] = {
        "reference": _figure(name, reference, labels, request),
        "value": _figure(name, got, labels, request),
        "count": len(next(iter(dataset.values()))),
        "interval": None,
    }
    if "transformed_evaluation" in request.inputs:
        outputs = arrays.load(request.inputs["transformed_evaluation"])
        figures["transformed"] = _figure(name, outputs, labels, request)
    if np.isnan(figures["reference"]):
        raise StepError(f"`{name}` gives NaN for the original model", None, METRIC)

    def drop(rows: NDArray[np.intp]) -> float:
        drawn = _rows(labels, rows) if labels is not None else None
        before, after = (_rows(outputs, rows) for outputs in (reference, got))
        return _figure(name, before, drawn, request) - _figure(name, after, drawn, request)

    if resamples:
        try:
            figures["interval"] = paired.of_draws(drop, figures["count"], resamples)
            why = "it gives no number there"
        except StepError as error:
            why = error.message
        if figures["interval"] is None:
            request.note(f"the drop of `{name}` has no interval: on rows drawn again {why}")
    request.outputs["metric"].write_text(json.dumps(figures, sort_keys=True) + "\n")


def _rows(held: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows of an array, or of several by name."""
    if isinstance(held, Mapping):
        return {name: array[rows] for name, array in held.items()}
    return held[rows]


def _figure(name: str, outputs: Arrays, labels: Any, request: Request) -> float:
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
