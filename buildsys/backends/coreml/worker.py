"""Steps of the Core ML backend: convert a captured model, make a package's weights smaller."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.protocol import ports as ports_of
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request, StepError
from ..kit.quantize import calibration, ranges
from ..kit.quantize.mixing import Settings
from . import package as packages
from .canonical import canonicalise
from .convert import classes, images
from .convert.conversion import converted, describe_model, load
from .convert.keep_float import Kept
from .convert.ports import contract_for, fill_output_shapes, tensor_types
from .features import Features
from .libraries import ct
from .quantize import activations, compression, layers
from .quantize.audit import Audit, audit

PRELOAD = {"convert": ("multiprocessing.synchronize", "numpy.random")}
"""What each step imports late; see `toolchains/inside/forks.py`."""


def convert(request: Request) -> None:
    """Makes an ML program from TorchScript or an exported program.

    Raises:
        StepError: An operator or a dtype has no Core ML counterpart, or a glob of `keep_float` fits
            no operation.
    """
    options = request.options["format"]
    contract = contract_for(request, Contract.read(request.inputs["io"]))
    pictures = images.asked(request, contract)
    inputs, outputs = tensor_types(request, contract, pictures)
    half = request.options["scheme"] == "float16"
    classifier = classes.config(request, contract)
    captured = load(request.inputs["artifact"])
    kept = Kept(request.options.get("quantization", {}).get("keep_float", ()), captured)
    model = converted(
        captured,
        convert_to="mlprogram",
        inputs=inputs,
        outputs=outputs,
        classifier_config=classifier,
        minimum_deployment_target=getattr(ct.target, options["minimum_deployment_target"]),
        compute_precision=kept.precision if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    kept.check(request)
    images.record(model, contract, pictures)
    images.declare(request, contract, pictures)
    described = [*contract.inputs, *([] if classifier else contract.outputs)]
    describe_model(
        model, request, contract, {port.artifact_name or port.name for port in described}
    )
    written = _write(model, request, contract)
    if half:
        _note_float32_weights(written, request)


def quantize(request: Request) -> None:
    """Stores the weights of a package as integers, on palettes, or pruned; see `compression`.

    With `static` activations become integers as well; see `activations`.

    Raises:
        StepError: No weight was large enough, a weight could not be compressed, a glob of `keep_float`
            fits none, the calibration data does not fit, or the deployment target is too old.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    model = ct.models.MLModel(str(source), skip_model_load=True)
    specification = model.get_spec().specificationVersion
    assigned = layers.assigned(source, request.options["quantization"])
    profiles = assigned.profiles
    for profile in profiles:
        compression.check(profile, specification)
    statics = [profile for profile in profiles if profile["scheme"] == "static"]
    if len(statics) > 1:
        raise StepError(
            "two profiles of the scheme `static` are mixed, and a package is calibrated by one",
            "give both kinds of layers one profile",
            "quantization.layers",
        )
    if "calibration" in request.inputs and not statics:
        ranges.write(request.outputs["ranges"], "none", 0, {})
    kept = [
        [name for name, given in assigned.weights.items() if given != profile]
        for profile in profiles
    ]
    for profile, others in zip(profiles, kept, strict=True):
        if profile["scheme"] == "static":
            feeds = _feeds(request, contract)
            model = activations.quantized(request, profile, feeds, assigned, others)
        else:
            model = compression.compressed(model, profile, others)
    written = _write(model, request, contract)
    if not profiles:
        raise _nothing()
    floats = sum(given is None for given in assigned.weights.values())
    for profile, others in zip(profiles, kept, strict=True):
        _audit(audit(written, contract, profile, others), request, profile, floats)
    if statics and not packages.counted(written)["quantize"]:
        raise _nothing()


def _feeds(request: Request, contract: Contract) -> list[calibration.Feed]:
    """Calibration data as the package takes it: pictures where it takes those."""
    ports = request.options["ports"]
    dtypes = {port["name"]: np.dtype(port["dtype"]).name for port in ports}
    arrays = Contract(
        [Port(port.name, port.shape, dtypes[port.name], port.layout) for port in contract.inputs]
    )
    dynamic = any(isinstance(size, str) for port in contract.inputs for size in port.shape)
    feeds = calibration.feeds(request.inputs["calibration"], arrays, ports, dynamic)
    metadata = packages.read_spec(request.inputs["artifact"]).description.metadata.userDefined
    features = Features(contract, metadata)
    return [features.given(feed) for feed in feeds]


def _write(model: Any, request: Request, contract: Contract) -> Path:
    """Saves through the scratch folder, makes the bytes canonical, and opens the result."""
    draft = request.scratch / "draft.mlpackage"
    model.save(str(draft))
    canonicalise(draft)
    description = packages.read_spec(draft).description
    if description.predictedFeatureName and all(p.kind == "array" for p in contract.outputs):
        _fix_classes(contract, request)
        classes.declare(request, contract, description)
    fill_output_shapes(contract, description, request)
    packages.check(draft, contract)
    target = request.outputs["artifact"]
    shutil.move(draft, target)
    contract.write(request.outputs["io"])
    return target


def _fix_classes(contract: Contract, request: Request) -> None:
    """A dictionary declares no sizes: they are the model's at the example's."""
    sizes = ports_of.example_sizes(request.options["ports"])
    for port in contract.outputs:
        port.shape = [sizes.get(n, n) if isinstance(n, str) else n for n in port.shape]


def _note_float32_weights(written: Path, request: Request) -> None:
    stored = packages.weights(written)
    if stored.float16_share == 1.0:
        return
    oldest = request.options["format"]["minimum_deployment_target"]
    request.note(
        f"only {stored.float16_share:.0%} of the bytes of the weights are float16 at {oldest}: "
        f"{packages.largest(stored.float32)} stay float32"
        + ("; iOS17 stores them as float16" if oldest in ("iOS15", "iOS16") else "")
    )


def _audit(found: Audit, request: Request, wanted: Settings, kept: int) -> None:
    """Says how much was compressed; less than was asked for is an error."""
    shortfall = found.shortfall()
    if shortfall is not None:
        block = wanted.get("block_size") if found.skipped else None
        raise StepError(
            shortfall + (f" (their channels are not a multiple of {block})" if block else ""),
            "name them in `keep_float` to ship them as they are"
            + (", or take another `block_size`" if block else ""),
            "quantization.block_size" if block else "quantization",
        )
    if not found.compressed:
        raise _nothing()
    rest = packages.largest(list(found.floats))
    request.note(
        f"{found.compressed:,} of {found.total:,} weights are {_form(found, wanted)} "
        f"({found.compressed / found.total:.0%})"
        + (f"; as floats: {rest}" if rest else "")
        + (f"; kept by the recipe: {kept}" if kept else "")
    )


def _nothing() -> StepError:
    return StepError(
        f"nothing was compressed: no weight outside `keep_float` has more than "
        f"{compression.WEIGHT_THRESHOLD} elements",
        hint="leave the quantization out for this model",
        field="quantization",
    )


def _form(found: Audit, wanted: Settings) -> str:
    """How compressed weights are stored, in words."""
    said = []
    if wanted.get("sparsity"):
        said.append(f"pruned, {found.zeros / found.compressed:.1%} of them zero")
    if wanted.get("palette") and wanted.get("block_size"):
        channels = wanted["block_size"]
        said.append(f"on palettes of {1 << wanted['bits']} numbers, one for {channels} channels")
    elif wanted.get("palette"):
        said.append(f"on palettes of at most {found.levels} numbers")
    elif wanted.get("bits"):
        said.append(f"int{wanted['bits']}")
    return " and ".join(said)
