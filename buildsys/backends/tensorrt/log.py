"""TensorRT's log: to stderr, the errors kept for messages."""

from __future__ import annotations

import sys

import tensorrt as trt


class Log(trt.ILogger):  # type: ignore[misc]
    """Where TensorRT says why it does not do something: its calls only give nothing.

    Attributes:
        errors: What it called an error, in order.
    """

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.errors.append(msg)
        if severity != trt.ILogger.Severity.VERBOSE:
            print(msg, file=sys.stderr)

    def told(self) -> str:
        """The last errors in one line."""
        return " ".join(" ".join(self.errors[-3:]).split())[:400] or "it does not say why"
