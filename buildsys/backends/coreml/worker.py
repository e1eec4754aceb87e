"""Steps of the Core ML backend: convert a captured model, quantize a package's weights."""

from __future__ import annotations

import logging
import re
import shutil
import traceback
from pathlib import Path
from typing import Any

from ..kit.contract import Contract
from ..kit.request import Request, StepError
from . import package as packages
from .canonical import canonicalise
from .ports import contract_for, fill_output_shapes, tensor_types
from .quiet import ct, torch

PRELOAD = {"convert": ("multiprocessing.synchronize", "numpy.random")}
"""What each step imports late; see `toolchains/worker_forks.py`."""
WEIGHT_THRESHOLD = 512
"""Smaller weights stay as they are: their scales and decoder would cost what they save."""

_LOCATED = re.compile(r"converting '(?P<op>[^']+)' op \(located at: '(?P<scope>[^']*)'\)")
_UNSUPPORTED = re.compile(r"for op '(?P<op>[^']+)' not implemented|kind (?P<kind>[\w.]+)$")


def convert(request: Request) -> None:
    """Makes an ML program from TorchScript or an exported program.

    Raises:
        StepError: An operator or a dtype has no Core ML counterpart.
    """
    source = request.inputs["artifact"]
    options = request.options["format"]
    contract = contract_for(request, Contract.read(request.inputs["io"]))
    inputs, outputs = tensor_types(request, contract)
    half = request.options["scheme"] == "float16"
    exported = source.suffix == ".pt2"
    log = _ErrorLog()
    logging.getLogger("coremltools").addHandler(log)
    try:
        model = ct.convert(
            _load(source),
            convert_to="mlprogram",
            inputs=inputs,
            outputs=outputs,
            minimum_deployment_target=getattr(ct.target, options["minimum_deployment_target"]),
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
        )
    except Exception as error:
        # Whatever coremltools raises is about this model; the log keeps the whole trace.
        traceback.print_exc()
        raise _explain(error, log.text, exported) from error
    finally:
        logging.getLogger("coremltools").removeHandler(log)
    _describe(model, request, contract)
    written = _write(model, request, contract)
    if half:
        _note_float32_weights(written, request)


def quantize(request: Request) -> None:
    """Stores the weights of a float32 package as symmetric int8.

    Raises:
        StepError: No weight was large enough, a pattern of `keep_float` fits none, or the
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


def _load(source: Path) -> Any:
    if source.suffix == ".pt2":
        # coremltools takes programs of the ATen dialect only, which no decomposition but the
        # compulsory ones gives.
        return torch.export.load(source).run_decompositions({})
    return torch.jit.load(str(source), map_location="cpu").eval()


def _describe(model: Any, request: Request, contract: Contract) -> None:
    metadata = request.options["metadata"]
    options = request.options["format"]
    about = f"{metadata['project']}: {metadata['model']}"
    model.short_description = options["description"] or about
    model.version = str(metadata.get("version") or "")
    if options["author"]:
        model.author = options["author"]
    if options["license"]:
        model.license = options["license"]
    model.user_defined_metadata.update(
        {
            "source": "modelbuild",
            "modelbuild.project": str(metadata["project"]),
            "modelbuild.model": str(metadata["model"]),
            "modelbuild.compute_units": options["compute_units"],
        }
    )
    for ports, described in (
        (contract.inputs, model.input_description),
        (contract.outputs, model.output_description),
    ):
        for port in ports:
            shape = " x ".join(str(size) for size in port.shape)
            layout = f", {port.layout}" if port.layout else ""
            described[port.artifact_name or port.name] = f"{port.dtype} {shape}{layout}"


def _write(model: Any, request: Request, contract: Contract) -> Path:
    """Saves through the scratch folder, makes the bytes canonical, and opens the result."""
    draft = request.scratch / "draft.mlpackage"
    model.save(str(draft))
    canonicalise(draft)
    fill_output_shapes(contract, packages.read_spec(draft).description)
    packages.check(draft, contract)
    target = request.outputs["artifact"]
    shutil.move(draft, target)
    contract.write(request.outputs["io"])
    return target


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
    """Names of weights that match; a module's dots are underscores in a package."""
    names = [name for name, _ in stored.floats]
    kept: list[str] = []
    for pattern in patterns:
        try:
            regex = re.compile(pattern.replace(r"\.", "_"))
        except re.error as error:
            raise StepError(
                f"`{pattern}` is no regular expression: {error}", field="quantization.keep_float"
            ) from error
        matches = [name for name in names if regex.match(name)]
        if not matches:
            raise StepError(
                f"`{pattern}` matches no weight; there are {', '.join(sorted(names))}",
                field="quantization.keep_float",
            )
        kept += [name for name in matches if name not in kept]
    return kept


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


class _ErrorLog(logging.Handler):
    """Collects what coremltools logs about an operator before it raises."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Adds one message."""
        self.text += record.getMessage() + "\n"


def _explain(error: Exception, log: str, exported: bool) -> StepError:
    reason = " ".join(str(error).split())[:400] or type(error).__name__
    located = _LOCATED.search(log)
    unsupported = _UNSUPPORTED.search(reason)
    hint = "take `capture: trace`, whose operators coremltools knows best" if exported else None
    if located is None and unsupported is None:
        return StepError(f"coremltools cannot convert this model: {reason}", hint)
    groups = (located or unsupported).groupdict()  # type: ignore[union-attr]
    op = groups.get("op") or groups.get("kind")
    # The last part of a scope is the number of the operator's output, not a module.
    scope = ".".join(groups.get("scope", "").split("/")[:-1]) if located else ""
    place = f" in `{scope}`" if scope else ""
    if unsupported:
        return StepError(
            f"Core ML has no operator for `{op}`{place}",
            hint or "write it with other operators in the model, or leave this target out",
        )
    return StepError(f"coremltools cannot convert `{op}`{place}: {reason}", hint)
