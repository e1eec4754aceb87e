"""Makes an ONNX file smaller, and says how much of it became so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import onnx

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ...kit.quantize import calibration, held_out, ranges
from ...kit.quantize.clipping import Range
from ...kit.quantize.mixing import Settings
from .. import canonical, graph
from . import dynamic, floating, half, layers, observing, prepared, static, weights
from .compact import compact
from .prepared import FIELD

PRELOAD = {"quantize": ("encodings.cp437", "numpy.ma")}
"""What the step imports late; see `toolchains/inside/forks.py`."""

TRIED = ("min-max", "moving-average", "percentile", "mse")
"""What is tried where the recipe names no method; none of them is always the best."""


def quantize(request: Request) -> None:
    """Quantizes a float model by `quantization.scheme`; a `mixed` one layer by layer.

    Inputs: `artifact`, `io`, for `static` `calibration`. Options: `ports`, `quantization`.

    Raises:
        StepError: Nothing could be quantized, a glob fits no operator, the calibration data does not
            fit, or the result does not load.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    model = prepared.prepare(source)
    before = prepared.weights(model)
    chosen = layers.choose(model, request.options["quantization"])
    if _needs_newer(chosen):
        model = prepared.raised(model, source, contract, request)
    halves = layers.of(chosen, "float16")
    if halves:
        model = half.convert(model, halves, request)
    calibrated = layers.of(chosen, "static")
    if calibrated:
        model = _static(model, calibrated, contract, request)
    model = _rest(model, chosen, request)
    _audit(model, before, chosen, request)
    compact(model)
    graph.check_names(model, contract)
    graph.declare_outputs(model, contract)
    canonical.save(model, request.outputs["artifact"])
    if halves:
        half.check_survived(request.outputs["artifact"])
    observing.outputs(request.outputs["artifact"], [])
    contract.write(request.outputs["io"])


def _needs_newer(chosen: layers.Chosen) -> bool:
    return any(
        (static if settings["scheme"] == "static" else weights).needs_newer(settings)
        for settings in chosen.values()
        if settings is not None
    )


def _rest(model: Any, chosen: layers.Chosen, request: Request) -> Any:
    """What is done without calibration, and the weights that others have left."""
    group = layers.of(chosen, "weight-only")
    while_running = layers.of(chosen, "dynamic")
    others = {**while_running, **layers.of(chosen, "static")}
    left = _weighty(model, others, dynamic.OPERATORS if while_running else ())
    if left:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(left.values()).items()))
        request.note(
            f"{kinds}: weights as integers, arithmetic in float: ONNX Runtime has no such operators "
            "of integers"
        )
    stored = {
        name: {**others[name], "scheme": "weight-only", "symmetric": None, "block_size": None}
        for name in left
    }
    weights.quantize(model, {**group, **stored}, request)
    if not while_running:
        return model
    try:
        whole = layers.agreed(while_running, lambda settings: settings.get("per_channel") is False)
    except ValueError as error:
        raise StepError(
            "layers of one ONNX file cannot have different `per_channel` with `dynamic`",
            "give their profiles the same `per_channel`",
            "quantization.layers",
        ) from error
    names = [name for name in while_running if name not in left]
    return dynamic.quantize(model, names, not whole, request.scratch)


def _weighty(model: Any, group: Mapping[str, Settings], known: tuple[str, ...]) -> dict[str, str]:
    """The operators of a group that still read floating weights and that no quantizer takes."""
    floats = prepared.weights(model)
    return {
        node.name: node.op_type
        for node in model.graph.node
        if node.name in group
        and any(
            weights.is_place(node, place, floats[n])
            for place, n in enumerate(node.input)
            if n in floats
        )
        and not (group[node.name]["scheme"] == "dynamic" and node.op_type in known)
    }


def _static(model: Any, group: Mapping[str, Settings], contract: Contract, request: Request) -> Any:
    """Quantizes with the method asked for, or with each of `TRIED` to keep the best."""
    shared = static.together(group)
    asked = shared.get("calibration") or {}
    feeds = calibration.feeds(
        request.inputs["calibration"], contract, request.options["ports"], dynamic=True
    )
    method = asked.get("method")
    used, judged, data = (feeds, [], "") if method else held_out.split(feeds)
    group = _without(
        group, model, floating.beside(model), request, "which integers are too coarse for"
    )
    names = static.observed(model, group)
    if not names:
        raise _nothing("no operator that ONNX Runtime computes with integers is among the layers")
    observer = observing.Observer(model, names, used)
    if observer.masked:
        around = floating.around(model, observer.masked)
        group = _without(
            group, model, around, request, "with a mask or minus infinity among their numbers"
        )
    bits = observing.BITS[static.activations(shared)]

    def attempt(way: str) -> tuple[Any, dict[str, Range]]:
        found = observer.ranges(way, bits, static.symmetric(shared), asked.get("percentile"))
        return static.quantize(model, group, found), found

    if method == "entropy" and bits > 8:
        request.note("`entropy` clips nothing with int16 activations: their numbers lose nothing")
    if method:
        best, tried = method, None
    else:
        expected = observing.outputs(_written(model, request, "float"), judged)
        tried = {}
        for way in TRIED:
            path = _written(attempt(way)[0], request, way)
            tried[way] = held_out.signal_error(expected, observing.outputs(path, judged))
        best = held_out.chosen(request, tried, data)
    made, found = attempt(best)
    if not static.clipped(made, found):
        request.note("calibration decides nothing: no layer that computes is left to `static`")
    ranges.write(request.outputs["ranges"], best, len(used), static.clipped(made, found), tried)
    return made


def _without(
    group: Mapping[str, Settings], model: Any, left: Collection[str], request: Request, why: str
) -> dict[str, Settings]:
    """The layers that are not left in float; a note tells of those that are."""
    kinds = Counter(
        node.op_type
        for node in model.graph.node
        if node.name in left and node.name in group and node.op_type in static.OPERATORS
    )
    if kinds:
        told = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        request.note(f"float32 stay {told}, {why}")
    return {name: settings for name, settings in group.items() if name not in left}


def _written(model: Any, request: Request, name: str) -> Path:
    path = request.scratch / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _audit(model: Any, before: Mapping[str, Any], chosen: layers.Chosen, request: Request) -> None:
    """Says how much became smaller.

    Raises:
        StepError: Nothing did.
    """
    left = {name: prepared.size(t) for name, t in prepared.weights(model).items() if name in before}
    total = sum(prepared.size(tensor) for tensor in before.values())
    share = 1 - sum(left.values()) / total if total else 0.0
    if not share:
        raise _nothing("no weight became smaller")
    kinds = Counter(
        onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        for tensor in model.graph.initializer
        if tensor.name.removesuffix("_quantized") in before
    )
    del kinds["float"]
    told = ", ".join(sorted(kinds))
    readers = Counter(
        node.op_type for node in model.graph.node if any(name in left for name in node.input)
    )
    if left:
        stay = ", ".join(f"{n} {kind}" for kind, n in sorted(readers.items()))
        request.note(f"{int(share * 100)}% of the weights are {told}; float32 stay those of {stay}")


def _nothing(why: str) -> StepError:
    return StepError(
        f"nothing was quantized: {why}",
        "leave the quantization out for this model, or keep less of it in float",
        FIELD,
    )
