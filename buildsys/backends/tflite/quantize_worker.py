"""Makes a TFLite file smaller with AI Edge Quantizer, and says how much of it became so."""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils, tfl_flatbuffer_utils

from ..kit import held_out
from ..kit.contract import Contract
from ..kit.globs import fitting
from ..kit.request import Request, StepError
from . import calibration
from .calibration import Feed
from .census import Census, census
from .signature import DEFAULT, Signature

# Calibration keeps all tensors on purpose; the interpreter calls that debugging.
warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")

PRELOAD = {"quantize": ("encodings.cp437", "multiprocessing.synchronize")}
"""What each step imports late; see `toolchains/worker_forks.py`."""

_ALL = qtyping.TFLOperationName.ALL_SUPPORTED
_NO_QUANTIZE = quantizer.AlgorithmName.NO_QUANTIZE
_FIELD = "quantization"

_WEIGHT_TYPE = {"float16": "FLOAT16", "weight-only": "INT8", "dynamic": "INT8", "static": "INT8"}

RANGES = {
    # Per-sample ranges' moving average is the quantizer's own way: it clips what is rare.
    "min-max": qsv_utils.min_max_update,
    "moving average": qsv_utils.moving_average_update,
}
"""Ways to estimate the range of an activation. Neither is always the better, so both are measured."""


def quantize(request: Request) -> None:
    """Quantizes a float file by `quantization.scheme`.

    Raises:
        StepError: Nothing could be quantized, a glob of `keep_float` fits no operator, the
            calibration data does not fit, or the result does not load.
    """
    model = request.inputs["artifact"].read_bytes()
    contract = Contract.read(request.inputs["io"])
    wanted = request.options["quantization"]
    scheme: str = wanted["scheme"]
    tool = quantizer.Quantizer(model)
    _configure(tool, scheme, wanted.get("per_channel", True))
    _keep_float(tool, model, wanted.get("keep_float") or [])
    if scheme == "static":
        _keep_outputs_that_are_read(request, tool, model)
        feeds = calibration.feeds(request.inputs["calibration"], contract)
        small = _best_ranges(request, tool, model, feeds)
    else:
        small = _apply(tool, None)
    _audit(request, scheme, census(model), census(small))
    _check_types(contract, Signature(small, request.threads))
    request.outputs["artifact"].write_bytes(small)
    contract.write(request.outputs["io"])


def _configure(tool: Any, scheme: str, per_channel: bool) -> None:
    granularity = (
        qtyping.QuantGranularity.CHANNELWISE if per_channel else qtyping.QuantGranularity.TENSORWISE
    )
    if scheme == "float16":
        tool.update_quantization_recipe(
            ".*",
            _ALL,
            qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(
                    num_bits=16, dtype=qtyping.TensorDataType.FLOAT
                ),
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            quantizer.AlgorithmName.FLOAT_CASTING,
        )
    elif scheme == "weight-only":
        tool.add_weight_only_config(".*", _ALL, num_bits=8, granularity=granularity)
    elif scheme == "dynamic":
        tool.add_dynamic_config(".*", _ALL, num_bits=8, granularity=granularity)
    else:
        tool.add_static_config(
            ".*", _ALL, activation_num_bits=8, weight_num_bits=8, weight_granularity=granularity
        )
        # The border stays float32: an int8 one would need a scale in the app's code.
        for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            tool.update_quantization_recipe(".*", border, algorithm_key=_NO_QUANTIZE)


def _keep_float(tool: Any, model: bytes, patterns: Sequence[str]) -> None:
    if not patterns:
        return
    graphs = tfl_flatbuffer_utils.read_model(model).subgraphs
    scopes = [
        tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
        for graph in graphs
        for operator in graph.operators
    ]
    answers = {scope: scope.rstrip(";").split(";") for scope in scopes}
    none = "matches no operator of the TFLite file, which are named after what they give"
    hint = "converters do not keep PyTorch's module names; match these instead"
    for scope in fitting(patterns, answers, none, hint):
        exactly = f"^{re.escape(scope)}$"
        tool.update_quantization_recipe(exactly, _ALL, algorithm_key=_NO_QUANTIZE)


def _keep_outputs_that_are_read(request: Request, tool: Any, model: bytes) -> None:
    """Leaves operators in float whose result is an output and is read by others as well.

    The quantizer gives such an output as int8, whatever was asked for, and LiteRT then fails to
    read it.
    """
    for graph in tfl_flatbuffer_utils.read_model(model).subgraphs:
        read = {int(index) for operator in graph.operators for index in operator.inputs}
        outputs = {int(index) for index in graph.outputs}
        for operator in graph.operators:
            if outputs & read & {int(index) for index in operator.outputs}:
                scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
                pattern = "^" + re.escape(scope)
                tool.update_quantization_recipe(pattern, _ALL, algorithm_key=_NO_QUANTIZE)
                request.note(
                    f"`{scope.rstrip(';')}` stays float32: it is an output that others read"
                )


def _apply(tool: Any, ranges: Any) -> bytes:
    try:
        result = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    except (RuntimeError, ValueError) as error:
        traceback.print_exc(file=sys.stderr)
        raise StepError(
            f"the quantizer refuses this model: {' '.join(str(error).split())[:400]}", field=_FIELD
        ) from error
    return bytes(result.quantized_model)


def _best_ranges(request: Request, tool: Any, model: bytes, feeds: list[Feed]) -> bytes:
    """Quantizes with each way to estimate ranges; keeps the one that errs less on held-out data."""
    used, judged, data = held_out.split(feeds)
    expected = _outputs(model, judged)
    made: dict[str, bytes] = {}
    errors: dict[str, float] = {}
    for name, update in RANGES.items():
        made[name] = _apply(tool, _ranges(tool, model, used, update))
        errors[name] = held_out.signal_error(expected, _outputs(made[name], judged))
    best = held_out.least(errors)  # Equal errors leave the first, which clips nothing.
    told = held_out.told(errors)
    request.note(f"ranges of activations by {best}: signal error on {data}: {told}")
    return made[best]


def _ranges(tool: Any, model: bytes, feeds: Sequence[Feed], update: Any) -> Any:
    recipe = recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(tool.get_quantization_recipe())
    # One thread: the order of sums, and with it a range's last bit, must not depend on the machine.
    watcher = calibrator.Calibrator(model, num_threads=1, qsv_update_func=update)
    try:
        watcher.calibrate({DEFAULT: feeds}, recipe)
    except ValueError as error:
        traceback.print_exc(file=sys.stderr)
        if "WHILE" in census(model).operators:
            raise StepError(
                "the quantizer cannot calibrate inside the WHILE loop that this file has for a "
                "recurrent layer",
                hint="take the scheme `dynamic` or `float16`, or `route: direct`, which unrolls it",
                field=_FIELD,
            ) from error
        raise StepError(
            f"calibration failed: {' '.join(str(error).split())[:400]}", field=calibration.FIELD
        ) from error
    return watcher.get_model_qsvs()


def _outputs(model: bytes, feeds: Sequence[Feed]) -> list[Feed]:
    signature = Signature(model)
    return [signature.run(feed) for feed in feeds]


def _audit(request: Request, scheme: str, before: Census, after: Census) -> None:
    kind = _WEIGHT_TYPE[scheme]
    if before.tensors == after.tensors and before.operators == after.operators:
        raise StepError(
            "nothing was quantized: the file has the same operators and types of tensors as before",
            hint="leave the quantization out for this model",
            field=_FIELD,
        )
    share = after.share(kind)
    if not share:
        raise StepError(
            f"nothing was quantized: no weight became {kind.lower()}"
            + (f" ({'; '.join(request.notes)})" if request.notes else ""),
            hint="leave the quantization out for this model",
            field=_FIELD,
        )
    if share < 1.0:
        request.note(
            f"{int(share * 100)}% of the constant numbers are {kind.lower()}: "
            + ", ".join(f"{n:,} {t.lower()}" for t, n in sorted(after.weights.items()))
        )


def _check_types(contract: Contract, signature: Signature) -> None:
    for ports, tensors in (
        (contract.inputs, signature.inputs),
        (contract.outputs, signature.outputs),
    ):
        for port in ports:
            tensor = tensors.get(port.artifact_name or port.name)
            if tensor is None or tensor.dtype != port.dtype:
                raise StepError(
                    f"the quantizer changed `{port.name}`: {port.dtype} became "
                    f"{tensor.dtype if tensor else 'another name'}"
                )
