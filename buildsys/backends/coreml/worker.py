"""Steps of the Core ML backend: convert a captured model, quantize a package's weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..kit import ports as ports_of
from ..kit.contract import Contract
from ..kit.globs import fitting
from ..kit.request import Request, StepError
from . import classes, images
from . import package as packages
from .canonical import canonicalise
from .conversion import converted, describe_model
from .ports import contract_for, fill_output_shapes, tensor_types
from .quiet import ct

PRELOAD = {"convert": ("multiprocessing.synchronize", "numpy.random")}
"""What each step imports late; see `toolchains/worker_forks.py`."""
WEIGHT_THRESHOLD = 512
"""Smaller weights stay as they are: their scales and decoder would cost what they save."""


def convert(request: Request) -> None:
    """Makes an ML program from TorchScript or an exported program.

    Raises:
        StepError: An operator or a dtype has no Core ML counterpart.
    """
    source = request.inputs["artifact"]
    options = request.options["format"]
    contract = contract_for(request, Contract.read(request.inputs["io"]))
    pictures = images.asked(request, contract)
    inputs, outputs = tensor_types(request, contract, pictures)
    half = request.options["scheme"] == "float16"
    classifier = classes.config(request, contract)
    model = converted(
        source,
        convert_to="mlprogram",
        inputs=inputs,
        outputs=outputs,
        classifier_config=classifier,
        minimum_deployment_target=getattr(ct.target, options["minimum_deployment_target"]),
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    images.declare(request, contract, pictures)
    described = [*contract.inputs, *([] if classifier else contract.outputs)]
    describe_model(
        model, request, contract, {port.artifact_name or port.name for port in described}
    )
    written = _write(model, request, contract)
    if half:
        _note_float32_weights(written, request)


def quantize(request: Request) -> None:
    """Stores the weights of a float32 package as symmetric int8.

    Raises:
        StepError: No weight was large enough, a glob of `keep_float` fits none, or the
            deployment target is too old.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    wanted = request.options["quantization"]
    per_channel = wanted.get("per_channel", True)
    model = ct.models.MLModel(str(source), skip_model_load=True)
    if model.get_spec().specificationVersion < ct.target.iOS16:
        raise StepError(
            "int8 weights need iOS16 or later",
            hint="set `minimum_deployment_target: iOS16`",
            field="options.minimum_deployment_target",
        )
    optimize = ct.optimize.coreml
    config = optimize.OptimizationConfig(
        global_config=optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            dtype="int8",
            granularity="per_channel" if per_channel else "per_tensor",
            weight_threshold=WEIGHT_THRESHOLD,
        )
    )
    kept = _kept(wanted.get("keep_float") or [], packages.weights(source))
    for name in kept:
        config.set_op_name(name, None)
    smaller = optimize.linear_quantize_weights(model, config=config)
    written = _write(smaller, request, contract)
    _audit(written, request, kept)


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


def _audit(written: Path, request: Request, kept: list[str]) -> None:
    stored = packages.weights(written)
    total = sum(stored.elements.values())
    if not stored.quantized:
        raise StepError(
            f"nothing was quantized: no weight outside `keep_float` has more than "
            f"{WEIGHT_THRESHOLD} elements",
            hint="leave the quantization out for this model",
            field="quantization",
        )
    rest = packages.largest(stored.floats)
    request.note(
        f"{stored.quantized:,} of {total:,} weights are int8 ({stored.quantized / total:.0%})"
        + (f"; float32: {rest}" if rest else "")
        + (f"; kept by `keep_float`: {len(kept)}" if kept else "")
    )
