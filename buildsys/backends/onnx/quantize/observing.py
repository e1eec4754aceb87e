"""What calibration data make of a model's activations, in ONNX Runtime with rewriting switched off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from ...kit.protocol.request import StepError
from ...kit.quantize import clipping
from ...kit.quantize.calibration import Feed
from ...kit.quantize.clipping import Histogram, Range
from ...kit.quantize.held_out import Outputs
from ...kit.quantize.masks import Magnitudes
from ..runtime import ERRORS_ONLY

BITS = {"int8": 8, "uint8": 8, "int16": 16}
SMOOTHING = 0.95
"""What each run leaves of the moving average before it, as in AI Edge Quantizer."""
FIELD = "quantization.calibration"


class Observer:
    """Values of a model's tensors over some runs.

    Nothing is kept of the values but extremes of each run, and histograms once they are asked for:
    memory does not grow with the runs.

    Attributes:
        seen: Tensor to the least and greatest value of each run; none where there is a mask among them.
        masked: The tensors with a mask; see `kit.quantize.masks`.
    """

    def __init__(self, model: Any, names: Sequence[str], feeds: Sequence[Feed]) -> None:
        """Runs the model once for each feed.

        Args:
            model: The float model.
            names: Floating tensors that are computed, or fed.
            feeds: The calibration data.
        """
        self._session = _session(model, names)
        self._feeds = feeds
        self._names = list(names)
        self._computed = [name for name in names if name not in feeds[0]]
        self.seen: dict[str, list[Range]] = {name: [] for name in names}
        magnitudes = {name: Magnitudes() for name in names}
        for number, values in enumerate(self._runs()):
            for name, array in values.items():
                if np.isnan(array).any():
                    raise StepError(
                        f"run {number} of the calibration data gives values of `{name}` that are no "
                        "numbers (NaN)",
                        "look for values that overflow: run `modelbuild verify --locate` on the "
                        "float artifact",
                        FIELD,
                    )
                if array.size:
                    self.seen[name].append((float(array.min()), float(array.max())))
                    magnitudes[name].add(array)
        self.masked = {name for name, found in magnitudes.items() if found.masked}
        for name in self.masked:
            self.seen[name].clear()
        self._histograms: dict[str, Histogram] = {}

    def ranges(
        self, method: str, bits: int, symmetric: bool, percentile: float | None
    ) -> dict[str, Range]:
        """The range of each tensor by one method; see `kit.quantize.clipping`.

        Args:
            method: The recipe's word.
            bits: The width of activations.
            symmetric: Whether ranges will be made symmetric.
            percentile: What `percentile` keeps, in percent.
        """
        if method not in clipping.CLIPPING:
            return {name: extremes(seen, method) for name, seen in self.seen.items() if seen}
        self._count()
        percent = clipping.PERCENT if percentile is None else percentile
        return {
            name: clipping.clipped(found, method, percent, bits, symmetric)
            for name, found in self._histograms.items()
        }

    def _count(self) -> None:
        if self._histograms:
            return
        self._histograms = {
            name: Histogram(*extremes(seen, "min-max")) for name, seen in self.seen.items() if seen
        }
        for values in self._runs():
            for name, histogram in self._histograms.items():
                histogram.add(values[name])

    def _runs(self) -> Any:
        for feed in self._feeds:
            got = self._session.run(self._computed, feed)
            values = {name: feed[name] for name in self._names if name in feed}
            yield values | dict(zip(self._computed, got, strict=True))


def extremes(seen: Sequence[Range], method: str) -> Range:
    """The range out of each run's least and greatest value.

    Args:
        seen: A pair for each run, in their order.
        method: `min-max`: the least and the greatest of all; `moving-average`: `SMOOTHING` of the
            average so far and the rest of the run's own, from the first run on.
    """
    if method == "min-max":
        return min(low for low, _ in seen), max(high for _, high in seen)
    low, high = seen[0]
    for least, most in seen[1:]:
        low = SMOOTHING * low + (1 - SMOOTHING) * least
        high = SMOOTHING * high + (1 - SMOOTHING) * most
    return low, high


def outputs(path: Path, feeds: Sequence[Feed]) -> list[Outputs]:
    """What a file gives for some feeds, as a user runs it, on one thread."""
    session = _opened(path, lambda _: None)
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]


def _session(model: Any, names: Sequence[str]) -> Any:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in (*shown.graph.output, *shown.graph.input)}
    shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in known)

    def raw(options: Any) -> None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL

    return _opened(shown.SerializeToString(), raw)


def _opened(given: Any, more: Callable[[Any], None]) -> Any:
    options = onnxruntime.SessionOptions()
    # The order of sums, and with it a range's last bit, must not depend on the machine's cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = ERRORS_ONLY
    more(options)
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        version = onnxruntime.__version__
        raise StepError(
            f"onnxruntime {version} does not load the model: {error}", field="quantization"
        ) from error
