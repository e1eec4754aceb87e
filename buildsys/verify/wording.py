"""What weights, and drops of a metric, came to, in words.

Needs no numpy: reports of builds that did nothing say it too.
"""

from __future__ import annotations

from buildsys.backends.kit.tasks.direction import SHARES
from buildsys.figures.measurement import Metric
from buildsys.figures.weights import Altered, Missing, Unexplained, Weights

KINDS = ("exact", "rounded", "quantized", "rearranged", "folded")
"""What a constant that is explained may be."""
SHOWN_TENSORS = 3
NOTEWORTHY = 0.01
"""The part of all bytes from which an unexplained tensor is noted."""


def noted(weights: Weights) -> list[str]:
    """What of the unexplained tensors people should know: those of 1 % of all bytes or more."""
    notes = []
    large = [t for t in weights.untraced if t.bytes >= NOTEWORTHY * weights.bytes]
    if large:
        names = ", ".join(f"`{t.name}` {list(t.shape)}" for t in large[:SHOWN_TENSORS])
        more = f" and {len(large) - SHOWN_TENSORS} more" if len(large) > SHOWN_TENSORS else ""
        notes.append(
            f"no weight of the model explains {names}{more}: the converter computed what "
            f"{'they hold' if len(large) > 1 else 'it holds'}, and only the outputs tell whether "
            "rightly"
        )
    if weights.untried:
        notes.append(
            f"the search for explanations stopped before {weights.untried} tensors: only the "
            "outputs tell whether they are right"
        )
    return notes


def summary(weights: Weights) -> str:
    """What was found, in a line: `24 of 24 explained (22 exact, 2 folded)`, and the share of numbers."""
    counts = [(kind, count) for kind in KINDS if (count := getattr(weights, kind))]
    explained = sum(count for _, count in counts)
    parts = ", ".join(f"{count} {kind}" for kind, count in counts)
    text = f"{explained} of {weights.compared} explained" + (f" ({parts})" if parts else "")
    return text + (f", {share(weights)}" if weights.traced is not None else "")


def share(weights: Weights) -> str:
    """The part of all numbers that are known to be the model's: `97 % of the numbers traced to the model`."""
    traced = weights.traced or 0.0
    # What is nearly all is not all.
    shown = "100" if traced == 1 else f"{min(100 * traced, 99.99):.2f}".rstrip("0").rstrip(".")
    return f"{shown} % of the numbers traced to the model"


def drop(metric: Metric, limit: float | None = None) -> str | None:
    """What a drop is worth, in words: `0.28 points, 95 %: -0.66 to 1.21: 360 samples cannot …`.

    Args:
        metric: The metric.
        limit: The bound that the drop is beyond; `None` where it keeps it.

    Returns:
        The sentence; `None` where nothing is known of chance.
    """
    if metric.low is None or metric.high is None:
        return None
    if metric.name in SHARES:
        value, low, high = (f"{100 * each:.2f}" for each in (metric.drop, metric.low, metric.high))
        text = f"{value} points, 95 %: {low} to {high}"
    else:
        text = f"95 %: {metric.low:.3g} to {metric.high:.3g}"
    if metric.drop and not metric.distinguishable:
        text += f": {metric.count} samples cannot tell it from zero"
    if limit is not None and metric.low <= limit:
        text += "; more data would decide, as the bound lies within"
    return text


def chance(metric: Metric | None) -> list[str]:
    """What is to be noted of a drop that may be none."""
    if metric is None or metric.distinguishable is not False or metric.drop <= 0:
        return []
    return [
        f"`{metric.name}` is worse than the original's by no more than may be chance: "
        f"{metric.count} samples cannot tell the drop from zero"
    ]


def wrong_weight(tensor: Altered | Missing) -> str:
    """A tensor that is not the weight that it should be, in words.

    Args:
        tensor: An entry of `altered` or `missing`, as `verify.weights.judged` gives it.
    """
    whose = " and ".join(f"`{name}`" for name in tensor.of[:2]) or "no weight"
    text = f"`{tensor.name}`, which is {whose} of the model: {tensor.why}"
    if isinstance(tensor, Altered) and tensor.elements:
        first = tensor.elements[0]
        stored, expected = _shown(first.stored), _shown(first.expected)
        text += f", at {list(first.index)} it is {stored} and not {expected}"
    return text


def untraced_weight(tensor: Unexplained) -> str:
    """A tensor that nothing explains, in words."""
    text = f"no weight of the model explains `{tensor.name}` {list(tensor.shape)}"
    if isinstance(tensor, Missing) and tensor.of:
        text += f", which may stand for `{tensor.of[0]}`: {tensor.why}"
    return text


def _shown(number: float | None) -> str:
    return "not finite" if number is None else f"{number:.9g}"
