"""What the activations of a TFLite file are while it runs on calibration data."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_quantizer import calibrator, recipe_manager
from ai_edge_quantizer.utils import tfl_interpreter_utils
from numpy.typing import NDArray

from ...kit.protocol.request import StepError
from ...kit.quantize import calibration, clipping
from ...kit.quantize.calibration import Feed
from ...kit.quantize.clipping import Histogram, Range
from ...kit.quantize.masks import Magnitudes
from ..signature import DEFAULT
from .census import census

KEPT = 0.95
"""How much of a moving average each run leaves; the quantizer's own number."""


class Extremes:
    """The quantizer's own calibration: which tensors need a range, and both ways to take extremes.

    Attributes:
        ranges: By method, name of a tensor to its range: `min-max`, and `moving-average` of each
            run's extremes.
    """

    def __init__(self, tool: Any, model: bytes, feeds: Sequence[Feed]) -> None:
        """Runs the model on all feeds.

        Raises:
            StepError: The quantizer cannot look inside, as with loops.
        """
        recipe = recipe_manager.RecipeManager()
        recipe.load_quantization_recipe(tool.get_quantization_recipe())
        # One thread: the order of sums, and with it a range's last bit, must not depend on the machine.
        watcher = calibrator.Calibrator(model, num_threads=1, qsv_update_func=_update)
        try:
            watcher.calibrate({DEFAULT: feeds}, recipe)
        except ValueError as error:
            traceback.print_exc(file=sys.stderr)
            raise _explained(error, model) from error
        seen = {name: found for name, found in watcher.get_model_qsvs().items() if "min" in found}
        self.ranges: dict[str, dict[str, Range]] = {
            "min-max": {name: _pair(found, "min", "max") for name, found in seen.items()},
            "moving-average": {
                name: _pair(found, *(("low", "high") if "low" in found else ("min", "max")))
                for name, found in seen.items()
            },
        }


def _update(seen: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Extremes of all runs, and a moving average of each run's, in one go."""
    if not seen:
        return dict(new)
    low, high = seen.get("low", seen["min"]), seen.get("high", seen["max"])
    return {
        "min": np.minimum(seen["min"], new["min"]),
        "max": np.maximum(seen["max"], new["max"]),
        "low": KEPT * low + (1.0 - KEPT) * new["min"],
        "high": KEPT * high + (1.0 - KEPT) * new["max"],
    }


def _pair(found: Mapping[str, Any], low: str, high: str) -> Range:
    return float(np.min(found[low])), float(np.max(found[high]))


def _explained(error: ValueError, model: bytes) -> StepError:
    if "WHILE" in census(model).operators:
        return StepError(
            "the quantizer cannot calibrate inside the WHILE loop that this file has for a "
            "recurrent layer",
            hint="take the scheme `dynamic` or `float16`, or `route: direct`, which unrolls it",
            field="quantization",
        )
    return StepError(
        f"calibration failed: {' '.join(str(error).split())[:400]}", field=calibration.FIELD
    )


def masks(model: bytes, feeds: Sequence[Feed]) -> list[str]:
    """Names of the tensors with numbers that no range can hold; see `kit.quantize.masks`."""
    found: dict[str, Magnitudes] = {}
    for values in _runs(model, feeds):
        for name, array in values.items():
            found.setdefault(name, Magnitudes()).add(array)
    return [name for name, seen in found.items() if seen.masked]


def histograms(
    model: bytes, feeds: Sequence[Feed], extremes: Mapping[str, Range]
) -> dict[str, Histogram]:
    """The values of tensors whose extremes are known."""
    found = {name: Histogram(*ends) for name, ends in extremes.items()}
    for values in _runs(model, feeds):
        for name, array in values.items():
            if name in found:
                found[name].add(array)
    return found


def clipped(
    seen: Mapping[str, Histogram],
    method: str,
    percent: float | None,
    settings: Mapping[str, Any],
) -> dict[str, Range]:
    """Ranges by a method that looks at values; see `kit.quantize.clipping`."""
    short = settings.get("activations") != "int16"
    return {
        name: clipping.clipped(
            histogram,
            method,
            percent or clipping.PERCENT,
            bits=8 if short else 16,
            symmetric=bool(settings.get("symmetric", not short)),
        )
        for name, histogram in seen.items()
    }


def statistics(ranges: Mapping[str, Range]) -> dict[str, dict[str, NDArray[Any]]]:
    """Ranges as the quantizer takes them.

    Without axes: what has one fits constants of no other number of axes that share an output's scale.
    """
    return {
        name: {"min": np.array(low, np.float32), "max": np.array(high, np.float32)}
        for name, (low, high) in ranges.items()
    }


def _runs(model: bytes, feeds: Iterable[Feed]) -> Iterator[dict[str, NDArray[Any]]]:
    """All computed float tensors of the main graph, a run each."""
    interpreter = tfl_interpreter_utils.create_tfl_interpreter(
        model, use_xnnpack=True, num_threads=1, preserve_all_tensors=True
    )
    graph = tfl_interpreter_utils.get_signature_main_subgraph_index(interpreter, DEFAULT)
    details = [
        detail
        for detail in interpreter.get_tensor_details(graph)
        if detail["name"] and detail["dtype"] == np.float32 and np.all(detail["shape"])
    ]
    for feed in feeds:
        tfl_interpreter_utils.invoke_interpreter_signature(interpreter, feed, DEFAULT)
        values = {}
        for detail in details:
            try:
                values[detail["name"]] = interpreter.get_tensor(detail["index"], graph)
            except ValueError:
                continue  # It has no memory: nothing in this run needs it.
        yield values
