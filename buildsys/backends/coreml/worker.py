"""Steps of the Core ML backend: convert a captured model, make a package's weights smaller."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..kit import ports as ports_of
from ..kit.contract import Contract
from ..kit.globs import fitting
from ..kit.request import Request, StepError
from . import classes, compression, images
from . import package as packages
from .audit import Audit, audit
from .canonical import canonicalise
from .conversion import converted, describe_model, load
from .kept import Kept
from .ports import contract_for, fill_output_shapes, tensor_types
from .quiet import ct

PRELOAD = {"convert": ("multiprocessing.synchronize", "numpy.random")}
"""What each step imports late; see `toolchains/worker_forks.py`."""


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

    Raises:
        StepError: No weight was large enough, a weight could not be compressed, a glob of `keep_float`
            fits none, or the deployment target is too old.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    wanted = request.options["quantization"]
    model = ct.models.MLModel(str(source), skip_model_load=True)
    compression.check(wanted, model.get_spec().specificationVersion)
    kept = _kept(wanted.get("keep_float") or [], packages.weights(source))
    smaller = compression.compressed(model, wanted, kept)
    written = _write(smaller, request, contract)
    _audit(audit(written, contract, wanted, kept), request, wanted, kept)


def _write(model: Any, request: Request, contract: Contract) -> Path:
    """Saves through the scratch folder, makes the bytes canonical, and opens the result."""
    draft = request.scratch / "draft.mlpackage"
    model.save(str(draft))
    canonicalise(draft)
    description = packages.read_spec(draft).description
    if description.predictedFeatureName and all(p.kind == "array" for p in contract.outputs):
        _fix_classes(contract, request)
        classes.declare(request, contract, description)
    fill_output_shapes(contract, description)
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


def _kept(patterns: list[str], stored: packages.Weights) -> list[str]:
    """Names of weights that globs fit; a module's dots are underscores in a package."""
    answers = {name: [name] for name in sorted(name for name, _ in stored.floats)}
    return fitting(patterns, answers, "matches no weight", dot="_")


def _audit(found: Audit, request: Request, wanted: dict[str, Any], kept: list[str]) -> None:
    """Says how much was compressed; less than was asked for is an error."""
    shortfall = found.shortfall()
    if shortfall is not None:
        block = wanted.get("block_size")
        raise StepError(
            shortfall + (f" (their channels are no multiple of {block})" if block else ""),
            "name them in `keep_float`" + (", or take another `block_size`" if block else ""),
            "quantization.block_size" if block else "quantization",
        )
    if not found.compressed:
        raise StepError(
            f"nothing was compressed: no weight outside `keep_float` has more than "
            f"{compression.WEIGHT_THRESHOLD} elements",
            hint="leave the quantization out for this model",
            field="quantization",
        )
    rest = packages.largest(list(found.floats))
    request.note(
        f"{found.compressed:,} of {found.total:,} weights are {_form(found, wanted)} "
        f"({found.compressed / found.total:.0%})"
        + (f"; as floats: {rest}" if rest else "")
        + (f"; kept by `keep_float`: {len(kept)}" if kept else "")
    )


def _form(found: Audit, wanted: dict[str, Any]) -> str:
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
