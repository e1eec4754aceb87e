"""Makes an OpenVINO model smaller, and says how much of it became so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import nncf

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ...kit.quantize import calibration, ranges
from ...kit.quantize.mixing import Settings
from .. import ir, runtime
from . import calibrated, compressed_weights, float16, layers, merged, reclipped, recurrent
from .census import NAMES, Census, census
from .refusals import FIELD

PRELOAD = {"quantize": ("encodings.cp437",)}
"""What each step imports late; see `toolchains/inside/forks.py`."""

nncf.set_log_level(logging.ERROR)

EIGHT, FOUR, HALF = ("i8", "u8"), ("i4", "u4"), ("f16",)
"""Types that weights are to become."""


def quantize(request: Request) -> None:
    """Quantizes a float model by `quantization.scheme`.

    Inputs: `artifact`, `io`, where something is `static` `calibration`. Options: `ports`, `quantization`.

    Raises:
        StepError: Nothing could be quantized, a glob fits no layer, a profile asks for what OpenVINO
            cannot do, the calibration data does not fit, or the result does not run.
    """
    contract = Contract.read(request.inputs["io"])
    model = ir.read(request.inputs["artifact"])
    known, before = set(ir.names(model)), census(model)
    assigned = layers.assigned(model, request.options["quantization"])
    profiles = _profiles(assigned)
    if not profiles:
        raise _nothing("all layers are kept as they are")
    for profile in profiles:
        if profile["scheme"] == "weight-only":
            compressed_weights.check(profile)
    if "calibration" in request.inputs and profiles[0]["scheme"] != "static":
        ranges.write(request.outputs["ranges"], "none", 0, {})
    for profile in profiles:
        model = _applied(request, contract, model, assigned, profile)
    _tell(request, [_types(profile) for profile in profiles], before, census(model))
    merged.merge(model)
    _settle(model, any(profile["scheme"] == "weight-only" for profile in profiles))
    ir.fit(model, contract, request)
    ir.write(model, request.outputs["artifact"], known)
    runtime.load(request.outputs["artifact"], contract, request.threads)
    contract.write(request.outputs["io"])


def _profiles(assigned: Mapping[str, Settings | None]) -> list[Settings]:
    """The profiles that layers have, `static` first: NNCF quantizes activations of float models only.

    Raises:
        StepError: Two of them are `static`.
    """
    found: list[Settings] = []
    for profile in assigned.values():
        if profile is not None and profile not in found:
            found.append(profile)
    found.sort(key=lambda profile: profile["scheme"] != "static")
    if [profile["scheme"] for profile in found[:2]] == ["static", "static"]:
        raise StepError(
            "two profiles of the scheme `static` are mixed, and NNCF calibrates a model by one",
            "give both kinds of layers one profile",
            f"{FIELD}.layers",
        )
    return found


def _applied(
    request: Request,
    contract: Contract,
    model: Any,
    assigned: Mapping[str, Settings | None],
    profile: Settings,
) -> Any:
    """The model with the layers of one profile made smaller; that none of them became so is an error."""
    mine = {name for name, given in assigned.items() if given == profile}
    before = census(model)
    if profile["scheme"] == "static":
        feeds = calibration.feeds(
            request.inputs["calibration"], contract, request.options["ports"], dynamic=True
        )
        kept = (assigned.keys() - mine) | recurrent.names(model)
        small = calibrated.calibrate(request, profile, feeds, kept)
        if not any(reclipped.sites(small)):
            request.note("calibration decides nothing: no activation becomes integers")
    elif profile["scheme"] == "weight-only":
        small = compressed_weights.compress(model, profile, assigned.keys() - mine)
    else:
        # What stands between quantized weights and their layers is no layer's.
        float16.compress(model, set(ir.names(model)) - mine, request)
        small = model
    if profile["scheme"] in ("static", "weight-only"):
        recurrent.compress(small, profile, mine, request)
    mixed = request.options["quantization"]["scheme"] == "mixed"
    by = f" by the `{profile['scheme']}` of {len(mine)} layers" if mixed else ""
    _audit(_types(profile), before, census(small), by)
    return small


def _types(profile: Settings) -> tuple[str, ...]:
    if profile["scheme"] == "float16":
        return HALF
    return FOUR if profile["bits"] == 4 else EIGHT


def _audit(kinds: tuple[str, ...], before: Census, after: Census, by: str) -> None:
    if before.operations == after.operations:
        raise _nothing("the model has the same operations and types as before", by)
    if sum(after.weights[kind] - before.weights[kind] for kind in kinds) <= 0:
        why = ""
        if kinds == FOUR:
            why = (
                ": only matrices of linear layers and embeddings can, and there is none to quantize"
            )
        raise _nothing(f"no weight became {' or '.join(NAMES[kind] for kind in kinds)}{why}", by)


def _nothing(why: str, by: str = "") -> StepError:
    return StepError(
        f"nothing was quantized{by}: {why}",
        "leave the quantization out for this model, or keep less of it in float",
        FIELD,
    )


def _tell(
    request: Request, kinds: Sequence[tuple[str, ...]], before: Census, after: Census
) -> None:
    """Says how much became small, where not all did or there are several widths."""
    wanted = dict.fromkeys(kind for each in kinds for kind in each)
    share = after.share(*wanted)
    if share < 1.0 or len(set(kinds)) > 1:
        small = " or ".join(dict.fromkeys(NAMES[each[0]] for each in kinds))
        request.note(f"{int(share * 100)}% of the constant numbers are {small}: {after.told()}")
    eight = sum(after.weights[kind] - before.weights[kind] for kind in EIGHT)
    if FOUR in kinds and EIGHT not in kinds and eight:
        request.note(
            f"{eight:,} weights have 8 bits, not 4: OpenVINO has no convolutions or recurrent layers of 4"
        )


def _settle(model: Any, compressed: bool) -> None:
    """Takes out NNCF's pages of settings, which nothing reads, and puts in what the CPU is to know."""
    for name in list(model.rt_info):
        del model.rt_info[name]
    if compressed:
        option = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
        model.set_rt_info(str(runtime.SETTINGS[option]), ["runtime_options", option])
