"""Exported programs with integers, by torchao's quantization and XNNPACK's rules for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import ComposableQuantizer

from ..kit.export.survey import capture_sizes
from ..kit.protocol import ports
from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request, StepError
from ..kit.quantize import calibration, clipping, held_out, masks, ranges
from ..kit.quantize.clipping import Histogram, Range
from ..kit.quantize.mixing import Layer, Settings, resolved
from . import patterns, program, sizes
from .layers import layers, masked
from .observer import Observer

FIELD = "quantization"
LEAST_SCALE = 2.0**-12
"""The least scale of XNNPACK's own configuration."""
_HINT = "leave the quantization out for this model"
Feed = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Quantized:
    """A program with integers.

    Attributes:
        module: Its graph; integers are computed by floats in between, as PyTorch does it.
        ports: The request's.
        inputs: Inputs at the captured sizes.
    """

    module: Any
    ports: list[dict[str, Any]]
    inputs: Feed

    def export(self) -> Any:
        """A copy of the program with the sizes that vary."""
        varying = ports.symbols(self.ports)
        dims = {
            symbol: torch.export.Dim(symbol, min=dim["min"], max=dim["max"])
            for symbol, dim in varying.items()
        }
        shapes = tuple(
            {axis: dims[size] for axis, size in enumerate(port["shape"]) if size in dims}
            for port in self.ports
        )
        with torch.no_grad(), sizes.kept():
            return torch.export.export(self.module, tuple(self.inputs), dynamic_shapes=shapes)


def quantize(request: Request, contract: Contract, path: Path) -> Quantized:
    """Quantizes a program by the request's profile.

    Raises:
        StepError: The runtime has no such integers, a glob fits no operator, the calibration data does
            not fit, or nothing could be quantized.
    """
    wanted = request.options["quantization"]
    declared = request.options["ports"]
    backend = request.options["format"]["backend"]
    if backend != "xnnpack":
        raise StepError(
            f"`backend: {backend}` has no kernels for integers here",
            "take `backend: xnnpack`, or leave the quantization out",
            "options.backend",
        )
    source = program.load(path)
    found = layers(source)
    given = resolved(
        wanted,
        found,
        "matches no operator that XNNPACK has with integers",
        "match the paths of modules, or types of operators: `type:linear`",
    )
    random = ports.random_feed(declared, capture_sizes(declared, dynamic=True), seed=0)
    inputs = [torch.from_numpy(random[port.name]) for port in contract.inputs]
    feeds: list[Feed] = []
    if "calibration" in request.inputs:
        data = calibration.feeds(request.inputs["calibration"], contract, declared, dynamic=True)
        feeds = [
            [torch.from_numpy(feed[port.artifact_name or port.name]) for port in contract.inputs]
            for feed in data
        ]
    given = _spared(request, source.module(), given, found, feeds)
    make = partial(_prepared, path, given, found)
    prepared = make()
    static = [s for s in given.values() if s is not None and s["scheme"] == "static"]
    if static and _observers(prepared):
        _decide(request, prepared, feeds, static[0])
    elif feeds:
        ranges.write(request.outputs["ranges"], "none", 0, {})
    with torch.no_grad():
        if not static:  # What watches weights looks at them while the program runs.
            prepared(*inputs)
        module = convert_pt2e(prepared)
    _audit(request, module)
    return Quantized(module, declared, inputs)


def _spared(
    request: Request,
    module: Any,
    given: Mapping[str, Settings | None],
    found: Mapping[str, Layer],
    feeds: Sequence[Feed],
) -> dict[str, Settings | None]:
    """Leaves operators in float whose numbers no static integers can stand for."""
    spared = dict(given)
    if not any(s is not None and s["scheme"] == "static" for s in given.values()):
        return spared
    names = [
        name
        for name in masked(module, feeds, found)
        if (given[name] or {}).get("scheme") == "static"
    ]
    spared |= dict.fromkeys(names)
    if names:
        request.note(masks.note(len(names), names[0]))
    return spared


def _prepared(path: Path, given: Mapping[str, Settings | None], found: Mapping[str, Layer]) -> Any:
    """The program's graph with what watches weights and activations."""
    profiles: dict[int, Settings] = {id(s): s for s in given.values() if s is not None}
    quantizers = []
    for key, settings in profiles.items():
        names = {name for name, each in given.items() if each is not None and id(each) == key}
        mine = XNNPACKQuantizer().set_filter_function(partial(_chosen, names, set(found)))
        if settings["scheme"] == "dynamic":
            # XNNPACK computes convolutions with dynamic ranges wrongly.
            mine.set_operator_type(torch.ops.aten.linear.default, _dynamic(settings))
        else:
            mine.set_global(_static(settings))
        quantizers.append(mine)
    if not quantizers:
        raise StepError("nothing was quantized: no operator is left", _HINT, FIELD)
    with torch.no_grad(), patterns.norms_where_possible():
        return prepare_pt2e(program.load(path).module(), ComposableQuantizer(quantizers))


def _chosen(names: set[str], known: set[str], node: Any) -> bool:
    """Whether a node is one of a profile's; what has no name in recipes goes with its neighbours."""
    return node.name in names or node.name not in known


def _dynamic(settings: Settings) -> Any:
    least, most = (-8, 7) if settings["bits"] == 4 else (-127, 127)
    return get_symmetric_quantization_config(
        is_per_channel=True, is_dynamic=True, weight_qmin=least, weight_qmax=most
    )


def _static(settings: Settings) -> Any:
    config = get_symmetric_quantization_config(is_per_channel=settings.get("per_channel", True))
    scheme = torch.per_tensor_symmetric if settings.get("symmetric") else torch.per_tensor_affine
    activations = replace(
        config.input_activation,
        qscheme=scheme,
        observer_or_fake_quant_ctr=Observer.with_args(eps=LEAST_SCALE),
    )
    return replace(config, input_activation=activations, output_activation=activations)


def _observers(prepared: Any) -> dict[str, Observer]:
    """What watches activations, by the name of the node that it watches first."""
    found: dict[str, Observer] = {}
    for node in prepared.graph.nodes:
        if node.op != "call_module":
            continue
        module = prepared.get_submodule(node.target)
        if isinstance(module, Observer) and all(module is not each for each in found.values()):
            found[node.args[0].name] = module
    return found


def _decide(request: Request, prepared: Any, feeds: Sequence[Feed], settings: Settings) -> None:
    """Takes ranges by the recipe's method, or by what errs least on held-out data."""
    way = settings.get("calibration") or {}
    method = way.get("method")
    used, judged, data = (feeds, feeds, "") if method else held_out.split(feeds)
    watched = _observers(prepared)
    _run(prepared, used)
    for observer in watched.values():
        observer.histogram = Histogram(*observer.extremes)
    expected = [_named(outputs) for outputs in _run(prepared, [*used, *judged])[len(used) :]]
    methods = (method,) if method else clipping.METHODS
    symmetric = bool(settings.get("symmetric"))
    found = {
        name: {
            node: _range(observer, name, way.get("percentile"), symmetric)
            for node, observer in watched.items()
        }
        for name in methods
    }
    errors: dict[str, float] | None = None
    best = methods[0]
    if method is None:
        errors = {}
        for name in methods:
            for node, observer in watched.items():
                observer.chosen, observer.rounding = found[name][node], True
            rounded = [_named(outputs) for outputs in _run(prepared, judged)]
            errors[name] = held_out.signal_error(expected, rounded)
        best = held_out.chosen(request, errors, data, "signal error of their rounding alone")
    for node, observer in watched.items():
        observer.chosen, observer.rounding = found[best][node], False
    tensors = {node: [each] for node, each in found[best].items()}
    ranges.write(request.outputs["ranges"], best, len(used), tensors, errors)


def _range(observer: Observer, method: str, percent: float | None, symmetric: bool) -> Range:
    if method == "min-max":
        return observer.extremes
    if method == "moving-average":
        return observer.average or observer.extremes
    assert observer.histogram is not None
    return clipping.clipped(
        observer.histogram, method, percent or clipping.PERCENT, symmetric=symmetric
    )


def _run(module: Any, feeds: Sequence[Feed]) -> list[list[torch.Tensor]]:
    return [program.run(module, feed) for feed in feeds]


def _named(outputs: Sequence[torch.Tensor]) -> dict[int, Any]:
    return {number: output.numpy() for number, output in enumerate(outputs)}


def _audit(request: Request, module: Any) -> None:
    """Says which part of the numbers became integers.

    Raises:
        StepError: None did.
    """
    counts: dict[str, int] = {}
    # What nothing reads any more is left behind: the floats that became integers.
    used = {n.target for n in module.graph.nodes if n.op == "get_attr" and n.users}
    for name in sorted(used):
        tensor = _attribute(module, name)
        # Scales and zero points of channels stand for themselves.
        if not name.rpartition(".")[2].startswith(("_scale", "_zero_point")):
            kind = str(tensor.dtype).removeprefix("torch.")
            counts[kind] = counts.get(kind, 0) + tensor.numel()
    small = counts.get("int8", 0)
    if not small:
        raise StepError("nothing was quantized: no weight became integers", _HINT, FIELD)
    total = sum(counts.values())
    if small < total:
        told = ", ".join(f"{n:,} {kind}" for kind, n in sorted(counts.items()))
        request.note(f"{int(100 * small / total)}% of the constant numbers are integers: {told}")


def _attribute(module: Any, name: str) -> torch.Tensor:
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, torch.Tensor)
    return found
