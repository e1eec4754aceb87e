"""Makes an OpenVINO model smaller, and says how much of it became so."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from ..kit import held_out
from ..kit.contract import Contract
from ..kit.request import Request, StepError
from . import calibration, float16, ir, layers, runtime
from .calibration import Feed
from .census import Census, census

PRELOAD = {"quantize": ("encodings.cp437",)}
"""What each step imports late; see `toolchains/worker_forks.py`."""

nncf.set_log_level(logging.ERROR)

FIELD = "quantization"
SMALL = {"float16": ("f16",), "weight-only": ("i8", "u8"), "static": ("i8", "u8")}
"""Types that weights are to become."""

RANGES = {
    "min-max": RangeEstimatorParametersSet.MINMAX,
    # NNCF's own way averages each sample's extremes: it clips what is rare.
    "mean min-max": RangeEstimatorParametersSet.MEAN_MINMAX,
}
"""Ways to estimate the range of an activation. Neither is always the better, so both are measured."""


def quantize(request: Request) -> None:
    """Quantizes a float model by `quantization.scheme`.

    Inputs: `artifact`, `io`, for `static` `calibration`. Options: `ports`, `quantization`.

    Raises:
        StepError: Nothing could be quantized, a glob of `keep_float` fits no layer, the calibration
            data does not fit, or the result does not run.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    wanted = request.options["quantization"]
    scheme: str = wanted["scheme"]
    model = ir.read(source)
    known, before = set(ir.names(model)), census(model)
    kept = layers.kept(model, wanted.get("keep_float") or [])
    if scheme == "static":
        small = _static(request, contract, kept)
    elif scheme == "weight-only":
        small = _weights(model, wanted, kept)
    else:
        float16.compress(model, kept, request)
        small = model
    _audit(request, SMALL[scheme], before, census(small))
    _settle(small, scheme)
    ir.fit(small, contract, request)
    ir.write(small, request.outputs["artifact"], known)
    runtime.load(request.outputs["artifact"], contract, request.threads)
    contract.write(request.outputs["io"])


def _weights(model: Any, wanted: dict[str, Any], kept: Collection[str]) -> Any:
    if wanted.get("per_channel") is False:
        raise StepError(
            "OpenVINO's int8 weights have a scale a channel: one a tensor cannot be had",
            "delete `per_channel: false`",
            f"{FIELD}.per_channel",
        )
    # Ranges around zero unless said otherwise: no zero points to store.
    asymmetric = wanted.get("symmetric") is False
    mode = nncf.CompressWeightsMode.INT8_ASYM if asymmetric else nncf.CompressWeightsMode.INT8_SYM
    try:
        return nncf.compress_weights(model, mode=mode, ignored_scope=_scope(kept))
    except Exception as error:  # NNCF has a dozen types of errors, all about this model.
        raise _refused(error) from error


def _static(request: Request, contract: Contract, kept: Collection[str]) -> Any:
    """Quantizes with each way to estimate ranges, with the better one also with biases corrected.

    The model that errs least on held-out data is kept.
    """
    source = request.inputs["artifact"]
    feeds = calibration.feeds(request.inputs["calibration"], contract, request.options["ports"])
    used, judged, data = held_out.split(feeds)
    expected = _outputs(ir.read(source), judged)
    made: dict[str, Any] = {}
    errors: dict[str, float] = {}

    def attempt(name: str, ranges: str, corrected: bool) -> None:
        wanted = request.options[FIELD]
        made[name] = _calibrated(source, wanted, used, RANGES[ranges], corrected, kept)
        errors[name] = held_out.signal_error(expected, _outputs(made[name], judged))

    for ranges in RANGES:
        attempt(ranges, ranges, corrected=False)
    ranges = held_out.least(errors)  # Equal errors leave the first, which clips nothing.
    # NNCF's correction of biases forgets the borders of padded convolutions: it may do harm.
    attempt(f"{ranges} with biases corrected", ranges, corrected=True)
    best, told = held_out.least(errors), held_out.told(errors)
    request.note(f"ranges of activations by {best}: signal error on {data}: {told}")
    return made[best]


def _calibrated(
    source: Path,
    wanted: dict[str, Any],
    feeds: Sequence[Feed],
    ranges: Any,
    corrected: bool,
    kept: Collection[str],
) -> Any:
    model = ir.read(source)
    per_channel = None
    if wanted.get("per_channel") is False:
        per_channel = nncf.QuantizationParameters(per_channel=False)
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
                ignored_scope=_scope(kept),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=ranges,
                    weights_quantization_params=per_channel,
                    disable_bias_correction=not corrected,
                    # SmoothQuant comes with the type of model and destroys small encoders.
                    smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                        convolution=-1, matmul=-1
                    ),
                ),
            )
    except Exception as error:  # NNCF has a dozen types of errors, all about this model.
        raise _refused(error) from error


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


def _scope(kept: Collection[str]) -> Any:
    return nncf.IgnoredScope(names=sorted(kept), validate=False) if kept else None


def _outputs(model: Any, feeds: Sequence[Feed]) -> list[held_out.Outputs]:
    settings = {**runtime.SETTINGS, "INFERENCE_NUM_THREADS": runtime.ONE_THREAD}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    found: list[held_out.Outputs] = []
    for feed in feeds:
        request.infer(feed)
        found.append({n: np.array(t.data) for n, t in enumerate(request.output_tensors)})
    return found


def _audit(request: Request, kinds: tuple[str, ...], before: Census, after: Census) -> None:
    if before.operations == after.operations:
        raise StepError(
            "nothing was quantized: the model has the same operations and types as before",
            "leave the quantization out for this model, or keep less of it in float",
            FIELD,
        )
    share = after.share(*kinds)
    if not share:
        raise StepError(
            f"nothing was quantized: no weight became {' or '.join(kinds)}",
            "leave the quantization out for this model, or keep less of it in float",
            FIELD,
        )
    if share < 1.0:
        small = "float16" if kinds == ("f16",) else "int8"
        request.note(f"{int(share * 100)}% of the constant numbers are {small}: {after.told()}")


def _settle(model: Any, scheme: str) -> None:
    """Takes out NNCF's pages of settings, which nothing reads, and puts in what the CPU is to know."""
    for name in list(model.rt_info):
        del model.rt_info[name]
    if scheme == "weight-only":
        option = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
        model.set_rt_info(str(runtime.SETTINGS[option]), ["runtime_options", option])


def _refused(error: Exception) -> StepError:
    traceback.print_exc(file=sys.stderr)
    return StepError(
        f"NNCF refuses this model: {' '.join(f'{type(error).__name__}: {error}'.split())[:400]}",
        "take the scheme `weight-only` or `float16`, or name the layer in `keep_float`",
        FIELD,
    )
