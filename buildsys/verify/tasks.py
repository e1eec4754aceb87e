"""How good a model is at its task: a metric over its outputs and the labels of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.verify.fault import VerifyError


def top1(output: NDArray[Any], labels: NDArray[Any]) -> float:
    """The part of the rows whose greatest score is at the label, in 0..1.

    Args:
        output: Scores [n, ..., classes].
        labels: Whole numbers [n, ...], from 0.

    Raises:
        VerifyError: Shapes or labels do not fit.
    """
    return _top(output, labels, 1)


def top5(output: NDArray[Any], labels: NDArray[Any]) -> float:
    """The part of the rows whose label is among the five greatest scores, in 0..1.

    Args:
        output: Scores [n, ..., classes], of six classes or more.
        labels: Whole numbers [n, ...], from 0.

    Raises:
        VerifyError: Shapes or labels do not fit; or there are so few classes that it is always 1.
    """
    return _top(output, labels, 5)


def mse(output: NDArray[Any], labels: NDArray[Any]) -> float:
    """The mean squared error, in the labels' units squared; NaN where an output is NaN.

    Args:
        output: [n, ...].
        labels: The same shape, but for axes of size 1.

    Raises:
        VerifyError: The shapes do not fit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.square(_residuals(output, labels)).mean())


def mae(output: NDArray[Any], labels: NDArray[Any]) -> float:
    """The mean absolute error, in the labels' units; NaN where an output is NaN.

    Args:
        output: [n, ...].
        labels: The same shape, but for axes of size 1.

    Raises:
        VerifyError: The shapes do not fit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.abs(_residuals(output, labels)).mean())


METRICS: Mapping[str, Callable[[NDArray[Any], NDArray[Any]], float]] = {
    "top1": top1,
    "top5": top5,
    "mse": mse,
    "mae": mae,
}


def _top(output: NDArray[Any], labels: NDArray[Any], k: int) -> float:
    scores = output.astype(np.float64)
    wanted = _class_labels(scores, labels, k)
    own = np.take_along_axis(scores, wanted[..., None], axis=-1)
    # As a stable sort would have it: of equal scores the first wins. A model that gives all classes
    # the same score is thus right by its first k classes only, not always.
    earlier = np.arange(scores.shape[-1]) < wanted[..., None]
    ahead = (scores > own) | ((scores == own) & earlier)
    hits = ahead.sum(axis=-1) < k
    # NaN is ahead of nothing: without this a row of NaN would count as right.
    hits &= ~np.isnan(scores).any(axis=-1)
    return float(hits.mean())


def _class_labels(scores: NDArray[np.float64], labels: NDArray[Any], k: int) -> NDArray[np.intp]:
    """The labels as indices into the last axis of the scores."""
    if scores.ndim < 2 or scores.shape[-1] <= k or not scores.size:
        raise VerifyError(
            f"`top{k}` needs scores of more than {k} classes on the last axis, "
            f"the output has the shape {list(scores.shape)}",
            "take another `metric`, or order the outputs so that the scores come first",
            "evaluate.metric",
        )
    wanted = labels
    if wanted.ndim == scores.ndim and wanted.shape[-1] == 1:
        wanted = wanted[..., 0]
    if wanted.shape != scores.shape[:-1]:
        raise VerifyError(
            f"labels of shape {list(labels.shape)} do not fit scores of shape {list(scores.shape)}",
            f"`top{k}` needs one label a row: shape {list(scores.shape[:-1])}",
            "evaluate.dataset",
        )
    with np.errstate(invalid="ignore"):  # NaN has no index; it is no class either.
        indices = wanted.astype(np.intp) if wanted.dtype.kind in "biuf" else None
    if indices is None or not np.array_equal(indices, wanted):
        raise VerifyError(
            f"labels of the type {wanted.dtype} are no classes",
            "number the classes from 0",
            "evaluate.dataset",
        )
    low, high, classes = int(indices.min()), int(indices.max()), scores.shape[-1]
    if low < 0 or high >= classes:
        raise VerifyError(
            f"the labels go from {low} to {high}, the output has {classes} classes",
            f"number the classes from 0 to {classes - 1}",
            "evaluate.dataset",
        )
    return indices


def _residuals(output: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """`output - labels`, never broadcast: [n, 1] minus [n] would compare all with all."""
    sizes = [[size for size in array.shape[1:] if size != 1] for array in (output, labels)]
    if not output.size or output.shape[:1] != labels.shape[:1] or sizes[0] != sizes[1]:
        raise VerifyError(
            f"labels of shape {list(labels.shape)} do not fit an output of shape "
            f"{list(output.shape)}",
            "give labels of the output's shape",
            "evaluate.dataset",
        )
    if labels.dtype.kind not in "biuf":
        raise VerifyError(
            f"labels of the type {labels.dtype} are no numbers",
            "store them as numbers",
            "evaluate.dataset",
        )
    # Two infinities of the same sign agree; their difference is NaN, which says that loudly enough.
    return output.astype(np.float64) - labels.astype(np.float64).reshape(output.shape)
