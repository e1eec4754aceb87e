"""Weights and activations as int8: NNCF, with the ranges of activations that err least, or a given kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import QuantizationParameters
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from ...kit.protocol.request import Request
from ...kit.quantize import clipping, held_out, ranges
from ...kit.quantize.calibration import Feed
from ...kit.quantize.mixing import Settings
from .. import ir, runtime
from . import reclipped
from .refusals import refused

EXTREMES = {
    "min-max": RangeEstimatorParametersSet.MINMAX,
    # NNCF's own way averages each run's extremes: it clips what is rare.
    "moving-average": RangeEstimatorParametersSet.MEAN_MINMAX,
}
"""Ways to take ranges that are NNCF's own. None is always the best, so several are measured."""


def calibrate(
    request: Request, wanted: Settings, feeds: Sequence[Feed], kept: Collection[str]
) -> Any:
    """Quantizes the float model of a request with ranges taken from feeds.

    Without `calibration.method` each method is tried, then the better one of NNCF's own with biases
    corrected, and the model that errs least on held-out data is kept.

    Args:
        request: Gets a note, and `ranges` written.
        wanted: `per_channel`, `symmetric`, `calibration`.
        feeds: What to calibrate with.
        kept: Names of operations that stay as they are.
    """
    source = request.inputs["artifact"]
    told = wanted.get("calibration") or {}
    method = told.get("method")
    percent = told.get("percentile") or clipping.PERCENT
    if method is not None:
        made = _method(source, wanted, feeds, kept, method, percent)
        request.note(f"ranges of activations by {method}, as asked for")
        ranges.write(request.outputs["ranges"], method, len(feeds), extremes(made))
        return made
    used, judged, data = held_out.split(feeds)
    expected = _outputs(ir.read(source), judged)
    models = {way: _nncf(source, wanted, used, kept, way) for way in EXTREMES}
    seen = reclipped.Seen(ir.read(source), models["min-max"], used)
    for way in clipping.CLIPPING:
        models[way] = reclipped.reclip(models["min-max"], seen, way, percent)
    errors = {
        way: held_out.signal_error(expected, _outputs(model, judged))
        for way, model in models.items()
    }
    # Equal errors leave the first, which clips nothing.
    better = held_out.least({way: errors[way] for way in EXTREMES})
    # NNCF's correction of biases forgets the borders of padded convolutions: it may do harm.
    corrected = f"{better} with biases corrected"
    models[corrected] = _nncf(source, wanted, used, kept, better, corrected=True)
    errors[corrected] = held_out.signal_error(expected, _outputs(models[corrected], judged))
    best = held_out.chosen(request, errors, data)
    ranges.write(request.outputs["ranges"], best, len(used), extremes(models[best]), errors)
    return models[best]


def extremes(model: Any) -> Mapping[str, Sequence[tuple[float, float]]]:
    """What activations are clipped to, by the layer that gives them."""
    return {
        name if not index else f"{name}.{index}": [
            (float(a), float(b)) for a, b in zip(site.low.ravel(), site.high.ravel(), strict=True)
        ]
        for site in reclipped.sites(model)
        for name, index in [site.source]
    }


def _method(
    source: Path,
    wanted: Settings,
    feeds: Sequence[Feed],
    kept: Collection[str],
    method: str,
    percent: float,
) -> Any:
    if method in EXTREMES:
        return _nncf(source, wanted, feeds, kept, method)
    made = _nncf(source, wanted, feeds, kept, "min-max")
    seen = reclipped.Seen(ir.read(source), made, feeds)
    return reclipped.reclip(made, seen, method, percent)


def _nncf(
    source: Path,
    wanted: Settings,
    feeds: Sequence[Feed],
    kept: Collection[str],
    way: str,
    *,
    corrected: bool = False,
) -> Any:
    model = ir.read(source)
    _name_inputs_of_branches(model)
    per_channel = None
    if wanted.get("per_channel") is False:
        per_channel = QuantizationParameters(per_channel=False)
    preset = nncf.QuantizationPreset.PERFORMANCE
    if wanted.get("symmetric") is False:
        preset = nncf.QuantizationPreset.MIXED
    try:
        with _one_thread():
            return nncf.quantize(
                model,
                nncf.Dataset(feeds),
                preset=preset,
                subset_size=len(feeds),
                # Without it NNCF fails on some transformers; it knows which parts of attention to
                # leave alone.
                model_type=nncf.ModelType.TRANSFORMER if _attends(model) else None,
                ignored_scope=nncf.IgnoredScope(names=sorted(kept), validate=False)
                if kept
                else None,
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=EXTREMES[way],
                    weights_quantization_params=per_channel,
                    disable_bias_correction=not corrected,
                    # SmoothQuant comes with the type of model and destroys small encoders.
                    smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                        convolution=-1, matmul=-1
                    ),
                ),
            )
    except Exception as error:  # NNCF has a dozen types of errors, all about this model.
        raise refused(error) from error


def _name_inputs_of_branches(model: Any) -> None:
    """NNCF asks for the names of what branches read, and files name no inner tensors."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "If":
            for place, given in enumerate(node.inputs()):
                if not given.get_tensor().get_names():
                    given.get_tensor().set_names({f"{node.get_friendly_name()}.{place}"})


@contextmanager
def _one_thread() -> Iterator[None]:
    """Has NNCF calibrate on one thread, in float32.

    The order of sums, and with it a range's last bit, must not depend on the machine.
    """

    class Core(ov.Core):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_property(
                "CPU", {**runtime.SETTINGS, "INFERENCE_NUM_THREADS": runtime.ONE_THREAD}
            )

    with mock.patch.object(ov, "Core", Core):
        yield


def _attends(model: Any) -> bool:
    """Whether a softmax weighs rows of a matrix product, as attention does."""
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "ScaledDotProductAttention":
            return True
        if kind == "Softmax" and "MatMul" in {
            reader.get_node().get_type_name() for reader in operation.output(0).get_target_inputs()
        }:
            return True
    return False


def _outputs(model: Any, feeds: Sequence[Feed]) -> list[held_out.Outputs]:
    settings = {**runtime.SETTINGS, "INFERENCE_NUM_THREADS": runtime.ONE_THREAD}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    found: list[held_out.Outputs] = []
    for feed in feeds:
        request.infer(feed)
        found.append({n: np.array(t.data) for n, t in enumerate(request.output_tensors)})
    return found
