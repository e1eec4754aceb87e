"""How good a model is at its task: a metric over its outputs and the labels of a dataset.

Every metric is made of parts: each row adds numbers to a few sums, and the metric follows from the sums.
So a whole dataset is gone over once, and a metric over other rows costs no more than adding up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol.request import StepError

Array = NDArray[Any]

PIECE = 1 << 22
"""Numbers of an output that are looked at together: 32 MiB of float64."""
VOID = 255
"""What labels of `iou` call a place that does not count, as usual in segmentation."""
NOTHING = -1
"""The class of a row with NaN among its scores: none."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What rows add to sums; most rows add to few of them.

    Attributes:
        rows: The row of each number, [k].
        sums: Which sum it is added to, [k].
        numbers: [k].
        count: How many rows there are.
        width: How many sums.
        each: How many judgements a row holds: places of a picture, numbers of a vector.
    """

    rows: NDArray[np.intp]
    sums: NDArray[np.intp]
    numbers: NDArray[np.float64]
    count: int
    width: int
    each: int = 1

    @classmethod
    def joined(cls, pieces: Sequence[Parts]) -> Parts:
        """What pieces of one dataset add, each of other rows, in their order."""
        starts = np.cumsum([0, *(piece.count for piece in pieces)])
        return cls(
            np.concatenate([piece.rows + at for piece, at in zip(pieces, starts, strict=False)]),
            np.concatenate([piece.sums for piece in pieces]),
            np.concatenate([piece.numbers for piece in pieces]),
            int(starts[-1]),
            pieces[0].width,
            pieces[0].each,
        )

    def total(self, times: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """The sums, [width].

        Args:
            times: How often each row counts, [count]; once where there is nothing.
        """
        numbers = self.numbers if times is None else self.numbers * times[self.rows]
        found = np.bincount(self.sums, numbers, minlength=self.width)
        return found.astype(np.float64)


@dataclass(frozen=True)
class Metric:
    """A metric that is built in.

    Attributes:
        adds: What rows add, from outputs and labels.
        figure: The metric, from the sums and the number of judgements.
        outcomes: Whether a judgement is right or wrong, 1 or 0, and the metric the part that is right.
    """

    adds: Callable[[Array, Array], Parts]
    figure: Callable[[NDArray[np.float64], int], float]
    outcomes: bool = False

    def parts(self, output: Array, labels: Array) -> Parts:
        """What rows add; arrays that lie in a file are read a piece at a time.

        Args:
            output: [n, ...], the first output of the model.
            labels: [n, ...].

        Raises:
            StepError: Shapes or labels do not fit.
        """
        rows = max(1, PIECE // max(1, output[:1].size))
        if len(output) != len(labels) or len(output) <= rows:
            return self.adds(output, labels)
        starts = range(0, len(output), rows)
        return Parts.joined([self.adds(output[i : i + rows], labels[i : i + rows]) for i in starts])

    def of(self, parts: Parts, times: NDArray[np.intp] | None = None) -> float:
        """The metric over rows that count so many times each."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.figure(parts.total(times), parts.count * parts.each)

    def __call__(self, output: Array, labels: Array) -> float:
        """The metric of outputs [n, ...] and their labels.

        Raises:
            StepError: Shapes or labels do not fit.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self.of(self.parts(output, labels))


def _mean(sums: NDArray[np.float64], count: int) -> float:
    return float(sums[0] / count)


def _macro_f1(sums: NDArray[np.float64], count: int) -> float:
    """The mean of the classes' F1, 2·tp / (labels + predictions), over classes that occur."""
    right, other = _by_class(sums)
    return float((2 * right / other).mean()) if right.size else math.nan


def _mean_iou(sums: NDArray[np.float64], count: int) -> float:
    """The mean of the classes' tp / (labels + predictions - tp), over classes that occur."""
    right, other = _by_class(sums)
    return float((right / (other - right)).mean()) if right.size else math.nan


def _by_class(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True positives, and labels and predictions together, of the classes that occur."""
    right, labelled, predicted = sums.reshape(3, -1)
    occurs = labelled + predicted > 0
    return right[occurs], (labelled + predicted)[occurs]


def top1(output: Array, labels: Array) -> Parts:
    """The part of the rows whose greatest score is at the label, in 0..1.

    Args:
        output: Scores [n, ..., classes].
        labels: Whole numbers [n, ...], from 0.

    Raises:
        StepError: Shapes or labels do not fit.
    """
    return _top(output, labels, 1)


def top5(output: Array, labels: Array) -> Parts:
    """The part of the rows whose label is among the five greatest scores, in 0..1.

    Args:
        output: Scores [n, ..., classes], of six classes or more.
        labels: Whole numbers [n, ...], from 0.

    Raises:
        StepError: Shapes or labels do not fit; or there are so few classes that it is always 1.
    """
    return _top(output, labels, 5)


def f1(output: Array, labels: Array) -> Parts:
    """The macro F1: that of each class by itself, and of these the mean, in 0..1.

    Classes that are neither labelled nor predicted are left out, as scikit-learn leaves them out.

    Args:
        output: Scores [n, ..., classes].
        labels: Whole numbers [n, ...], from 0.

    Raises:
        StepError: Shapes or labels do not fit.
    """
    scores = output.astype(np.float64)
    wanted = _class_labels(scores, labels, "f1")
    return _confusion(_predicted(scores), wanted, scores.shape[-1])


def iou(output: Array, labels: Array) -> Parts:
    """The intersection over union of a segmentation, class by class over all places, and the mean.

    Args:
        output: Scores [n, classes, ...], or [n, ..., classes] where the labels fit no other way.
        labels: Whole numbers [n, ...], from 0; `VOID` where a place does not count.

    Raises:
        StepError: Shapes or labels do not fit.
    """
    scores = output.astype(np.float64)
    if labels.ndim == scores.ndim and labels.ndim > 1 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if scores.ndim > 2 and labels.shape == (scores.shape[0], *scores.shape[2:]):
        scores = np.moveaxis(scores, 1, -1)
    counts = None
    if scores.ndim > 1 and scores.shape[-1] <= VOID and labels.dtype.kind in "biuf":
        counts = labels != VOID
        labels = np.where(counts, labels, 0)
    wanted = _class_labels(scores, labels, "iou")
    return _confusion(_predicted(scores), wanted, scores.shape[-1], counts)


def mse(output: Array, labels: Array) -> Parts:
    """The mean squared error, in the labels' units squared; NaN where an output is NaN.

    Args:
        output: [n, ...].
        labels: The same shape, but for axes of size 1.

    Raises:
        StepError: The shapes do not fit.
    """
    return _of_rows(np.square(_residuals(output, labels)))


def mae(output: Array, labels: Array) -> Parts:
    """The mean absolute error, in the labels' units; NaN where an output is NaN.

    Args:
        output: [n, ...].
        labels: The same shape, but for axes of size 1.

    Raises:
        StepError: The shapes do not fit.
    """
    return _of_rows(np.abs(_residuals(output, labels)))


def labels_for(name: str, labels: Array | Mapping[str, Array] | None, field: str) -> Array:
    """The one array of labels that a metric which is built in takes.

    Args:
        name: The metric's.
        labels: The dataset's.
        field: Of the recipe, that asks for the metric.

    Raises:
        StepError: There is none, or there are several.
    """
    if labels is None:
        raise StepError(
            f"`{name}` needs labels, the dataset names none",
            "give the dataset `labels: ARRAY`",
            field,
        )
    if isinstance(labels, Mapping):
        raise StepError(
            f"`{name}` takes one array of labels, the dataset has {len(labels)}",
            "return one from the function that loads the data, or compute the metric by `python:`",
            field,
        )
    return labels


METRICS: Mapping[str, Metric] = {
    "top1": Metric(top1, _mean, outcomes=True),
    "top5": Metric(top5, _mean, outcomes=True),
    "f1": Metric(f1, _macro_f1),
    "iou": Metric(iou, _mean_iou),
    "mse": Metric(mse, _mean),
    "mae": Metric(mae, _mean),
}


def _of_rows(numbers: Array) -> Parts:
    """One sum, to which each row adds all of its numbers."""
    count = len(numbers)
    each = numbers.reshape(count, -1)
    places = np.arange(count)
    return Parts(
        places, np.zeros_like(places), each.sum(axis=1, dtype=np.float64), count, 1, each.shape[1]
    )


def _confusion(predicted: Array, wanted: Array, classes: int, counts: Array | None = None) -> Parts:
    """Three sums a class: true positives, labels, predictions."""
    count = len(wanted)
    rows = np.broadcast_to(np.arange(count).reshape(-1, *[1] * (wanted.ndim - 1)), wanted.shape)
    shown = np.ones(wanted.shape, bool) if counts is None else counts
    cells = []
    for kind, (which, where) in enumerate(
        (
            (wanted, shown & (predicted == wanted)),
            (wanted, shown),
            (predicted, shown & (predicted != NOTHING)),
        )
    ):
        cells.append(rows[where] * (3 * classes) + kind * classes + which[where])
    # A picture has many places and few classes: what a row adds to a sum is one number.
    found, numbers = np.unique(np.concatenate(cells), return_counts=True)
    return Parts(
        found // (3 * classes),
        found % (3 * classes),
        numbers.astype(np.float64),
        count,
        3 * classes,
        wanted[0].size,
    )


def _predicted(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The class with the greatest score, the first of equals; `NOTHING` where a score is NaN."""
    return np.where(np.isnan(scores).any(axis=-1), NOTHING, scores.argmax(axis=-1))


def _top(output: Array, labels: Array, k: int) -> Parts:
    scores = output.astype(np.float64)
    wanted = _class_labels(scores, labels, f"top{k}", more_than=k)
    own = np.take_along_axis(scores, wanted[..., None], axis=-1)
    # As a stable sort would have it: of equal scores the first wins. A model that gives all classes
    # the same score is thus right by its first k classes only, not always.
    earlier = np.arange(scores.shape[-1]) < wanted[..., None]
    ahead = (scores > own) | ((scores == own) & earlier)
    hits = ahead.sum(axis=-1) < k
    # NaN is ahead of nothing: without this a row of NaN would count as right.
    hits &= ~np.isnan(scores).any(axis=-1)
    return _of_rows(hits)


def _class_labels(
    scores: NDArray[np.float64], labels: Array, metric: str, more_than: int = 1
) -> NDArray[np.intp]:
    """The labels as indices into the last axis of the scores."""
    if scores.ndim < 2 or scores.shape[-1] <= more_than or not scores.size:
        raise StepError(
            f"`{metric}` needs scores of more than {more_than} class"
            f"{'es' if more_than > 1 else ''} on the last axis, "
            f"the output has the shape {list(scores.shape)}",
            "take another `metric`, or order the outputs so that the scores come first",
            "evaluate.metric",
        )
    wanted = labels
    if wanted.ndim == scores.ndim and wanted.shape[-1] == 1:
        wanted = wanted[..., 0]
    if wanted.shape != scores.shape[:-1]:
        raise StepError(
            f"labels of shape {list(labels.shape)} do not fit scores of shape {list(scores.shape)}",
            f"`{metric}` needs one label a row: shape {list(scores.shape[:-1])}",
            "evaluate.dataset",
        )
    with np.errstate(invalid="ignore"):  # NaN has no index; it is no class either.
        indices = wanted.astype(np.intp) if wanted.dtype.kind in "biuf" else None
    if indices is None or not np.array_equal(indices, wanted):
        raise StepError(
            f"labels of the type {wanted.dtype} are not classes",
            "number the classes from 0",
            "evaluate.dataset",
        )
    low, high, classes = int(indices.min()), int(indices.max()), scores.shape[-1]
    if low < 0 or high >= classes:
        raise StepError(
            f"the labels go from {low} to {high}, the output has {classes} classes",
            f"number the classes from 0 to {classes - 1}",
            "evaluate.dataset",
        )
    return indices


def _residuals(output: Array, labels: Array) -> NDArray[np.float64]:
    """`output - labels`, never broadcast: [n, 1] minus [n] would compare all with all."""
    sizes = [[size for size in array.shape[1:] if size != 1] for array in (output, labels)]
    if not output.size or output.shape[:1] != labels.shape[:1] or sizes[0] != sizes[1]:
        raise StepError(
            f"labels of shape {list(labels.shape)} do not fit an output of shape "
            f"{list(output.shape)}",
            "give labels of the output's shape",
            "evaluate.dataset",
        )
    if labels.dtype.kind not in "biuf":
        raise StepError(
            f"labels of the type {labels.dtype} are not numbers",
            "store them as numbers",
            "evaluate.dataset",
        )
    # Two infinities of the same sign agree; their difference is NaN, which says that loudly enough.
    return output.astype(np.float64) - labels.astype(np.float64).reshape(output.shape)
