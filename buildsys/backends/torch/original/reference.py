"""The step that runs the original on the samples."""

from __future__ import annotations

from ...kit.protocol.request import Request
from ...kit.run import measurement
from . import model

PRELOAD = {"reference": ("encodings.cp437", "numpy.ma", "numpy.random", "safetensors.torch")}
"""What the step imports late; see `toolchains/inside/forks.py`."""


def reference(request: Request) -> None:
    """Runs the original model on the samples; writes what `kit.run.measurement.run_artifact` writes.

    Raises:
        StepError: The model cannot be made or does not take the samples.
    """
    measurement.record(model.load(request), request)
