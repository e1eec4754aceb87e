"""What `/metrics` tells."""

from __future__ import annotations

import os
from typing import Any

import prometheus_client as prometheus
from prometheus_client import multiprocess

KIND = prometheus.CONTENT_TYPE_LATEST


class Counts:
    """Counters of one process; `text` is about all of them."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "predict_requests", "Answers of /predict.", ["code"], registry=self._registry
        )
        self.rows = prometheus.Counter(
            "predict_rows", "Sizes of the first axis, added up.", registry=self._registry
        )
        self.seconds = prometheus.Histogram(
            "predict_seconds",
            "Time from a request's last byte to its answer, of those answered 200.",
            registry=self._registry,
        )
        labels = {name: str(value or "") for name, value in sorted(model.items())}
        told = prometheus.Gauge(
            "model_info",
            "Which model this is.",
            list(labels),
            registry=self._registry,
            multiprocess_mode="max",
        )
        told.labels(**labels).set(1)

    def text(self) -> bytes:
        """The counts of all processes, in Prometheus' text form."""
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        text: bytes = prometheus.generate_latest(registry)
        return text
