"""Makes a TFLite file smaller with AI Edge Quantizer, and says how much of it became so."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ...kit.quantize import calibration, clipping, held_out, masks, ranges
from ...kit.quantize.calibration import Feed
from ...kit.quantize.clipping import Range
from ...kit.quantize.mixing import Layer, resolved
from ..buffers import moved_within
from ..signature import Signature
from . import borders, configurations, observing
from .audit import FIELD, audit, check_types, kind_of, told_size
from .census import census
from .configurations import Assigned, Config, Settings
from .operators import Operator, operators

# Calibration keeps all tensors on purpose; the interpreter calls that debugging.
warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")

PRELOAD = {"quantize": ("encodings.cp437", "multiprocessing.synchronize")}
"""What each step imports late; see `toolchains/inside/forks.py`."""

_NONE = "matches no operator of the TFLite file, which are named after what they give"
_HINT = "converters do not keep PyTorch's module names; match these instead"


def quantize(request: Request) -> None:
    """Quantizes a float file by `quantization.scheme`.

    Raises:
        StepError: Nothing could be quantized, a glob fits no operator, the calibration data does not
            fit, or the result does not load.
    """
    model = request.inputs["artifact"].read_bytes()
    contract = Contract.read(request.inputs["io"])
    wanted = request.options["quantization"]
    profiles = _profiles(operators(model), wanted)
    asked = list({id(each): each for each in profiles.values() if each is not None}.values())
    for settings in asked:
        configurations.check(settings)
    static = [settings for settings in asked if settings["scheme"] == "static"]
    feeds: list[Feed] = []
    if "calibration" in request.inputs:
        feeds = calibration.feeds(
            request.inputs["calibration"], contract, request.options["ports"], dynamic=False
        )
    if static:
        profiles = _spared(request, model, profiles, feeds)
    assigned = _assigned(request, profiles, asked)
    if static:
        small = _with_ranges(request, model, assigned, feeds, static[0])
    else:
        small = _made(model, assigned, None)
        if feeds:
            ranges.write(request.outputs["ranges"], "none", 0, {})
    audit(
        request,
        list(dict.fromkeys(kind_of(settings) for settings in asked)),
        census(model),
        census(small),
    )
    told_size(request, len(model), len(small))
    check_types(contract, Signature(small, request.threads))
    request.outputs["artifact"].write_bytes(small)
    contract.write(request.outputs["io"])


def _profiles(found: Sequence[Operator], wanted: Settings) -> dict[Operator, Settings | None]:
    """What the recipe says of each operator; `None`: it stays as it is."""
    layers = {operator.scope: Layer(operator.names, operator.type) for operator in found}
    settings = resolved(wanted, layers, _NONE, _HINT)
    return {operator: settings[operator.scope] for operator in found}


def _spared(
    request: Request, model: bytes, profiles: Mapping[Operator, Settings | None], feeds: list[Feed]
) -> dict[Operator, Settings | None]:
    """Leaves operators in float that no static integers can stand for.

    Of a mask that holds the least float32 the quantizer looks past such numbers, and it would become
    zero; one of -10000 would leave nothing of what it is added to.
    """
    held = observing.masks(model, feeds)
    masked = [
        operator
        for operator, settings in profiles.items()
        if settings is not None
        and settings["scheme"] == "static"
        and not set(held).isdisjoint(operator.reads + operator.gives)
    ]
    if masked:
        request.note(masks.note(len(masked), held[0]))
    return {**profiles, **dict.fromkeys(masked)}


def _assigned(
    request: Request, profiles: Mapping[Operator, Settings | None], asked: Sequence[Settings]
) -> Assigned:
    """What the quantizer makes of each operator; notes say where that is something else."""
    found: dict[Operator, Config | None] = dict.fromkeys(profiles)
    told: dict[str, None] = {}
    for settings in asked:
        mine = {
            operator: configurations.fitting(settings, operator)
            for operator, given in profiles.items()
            if given is settings
        }
        configurations.check_blocks(settings, mine)
        told |= dict.fromkeys(configurations.notes(settings, mine))
        found |= mine
    for line in told:
        request.note(line)
    return found


def _made(model: bytes, assigned: Assigned, found: Mapping[str, Range] | None) -> bytes:
    statistics = None if found is None else observing.statistics(found)
    tool = configurations.tool(model, assigned)
    try:
        with borders.kept():
            result = tool.quantize(
                statistics, enable_progress_bar=False, enable_progress_report=False
            )
    except (RuntimeError, ValueError) as error:
        traceback.print_exc(file=sys.stderr)
        raise StepError(
            f"the quantizer refuses this model: {' '.join(str(error).split())[:400]}", field=FIELD
        ) from error
    return moved_within(bytes(result.quantized_model))


def _with_ranges(
    request: Request, model: bytes, assigned: Assigned, feeds: list[Feed], settings: Settings
) -> bytes:
    """Quantizes with the ranges of the recipe's method, or of what errs least on held-out data."""
    way = settings.get("calibration") or {}
    method = way.get("method")
    used, judged, data = (feeds, feeds, "") if method else held_out.split(feeds)
    extremes = observing.Extremes(configurations.tool(model, assigned), model, used).ranges
    methods = (method,) if method else clipping.METHODS
    found = {name: extremes[name] for name in methods if name in extremes}
    if any(name not in extremes for name in methods):
        seen = observing.histograms(model, used, extremes["min-max"])
        for name in methods:
            if name not in extremes:
                found[name] = observing.clipped(seen, name, way.get("percentile"), settings)
    made = {name: _made(model, assigned, each) for name, each in found.items()}
    errors: dict[str, float] | None = None
    best = methods[0]
    if method is None:
        expected = _outputs(model, judged)
        errors = {
            name: held_out.signal_error(expected, _outputs(small, judged))
            for name, small in made.items()
        }
        best = held_out.chosen(request, errors, data)
    tensors = {name: [each] for name, each in found[best].items()}
    ranges.write(request.outputs["ranges"], best, len(used), tensors, errors)
    return made[best]


def _outputs(model: bytes, feeds: Sequence[Feed]) -> list[Feed]:
    signature = Signature(model)
    return [signature.run(feed) for feed in feeds]
