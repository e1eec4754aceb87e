"""Which way a metric improves. Apart from the metrics, so that judging needs no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Direction = Literal["higher", "lower"]

DIRECTIONS: Mapping[str, Direction] = {
    "top1": "higher",
    "top5": "higher",
    "f1": "higher",
    "iou": "higher",
    "mse": "lower",
    "mae": "lower",
}

SHARES = ("top1", "top5", "f1", "iou")
"""Metrics from 0 to 1, whose differences are reported in points: hundredths."""


def better(metric: str) -> Direction:
    """Which way a metric improves. A project's own metric is a score: higher is better."""
    return DIRECTIONS.get(metric, "higher")
