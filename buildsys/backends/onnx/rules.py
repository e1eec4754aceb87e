"""What the planner knows about ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from buildsys.backends.base import (
    Backend,
    Format,
    MetadataWriter,
    Normaliser,
    Options,
    Probe,
    Reader,
    Rule,
    Runtime,
    Scheme,
    Source,
)
from buildsys.backends.toolchain import Toolchain
from buildsys.quantization import METHOD_NAMES

FOLDER = Path(__file__).parent


class OnnxOptions(Options):
    """Options of an `onnx` deployable.

    Attributes:
        opset: The operator set. By default 20, and 17 by `route: torchscript`; older runtimes need
            lower ones.
        simplify: Folds what is constant, drops what has no effect, and merges simple pairs of
            operators; the file stays standard ONNX.
        optimize: Fuses attention and normalization as in models of this family, into operators that
            ONNX Runtime alone has.
        num_heads: The attention heads, for `optimize`; 0 reads them off the graph.
        hidden_size: The width, for `optimize`; 0 reads it off the graph.
    """

    opset: int | None = Field(default=None, ge=9, le=24)
    simplify: bool = False
    optimize: Literal["none", "bart", "bert", "clip", "gpt2", "swin", "t5", "vit"] = "none"
    num_heads: int = Field(default=0, ge=0, le=1024)
    hidden_size: int = Field(default=0, ge=0, le=2**20)

    @field_validator("num_heads", "hidden_size")
    @classmethod
    def _has_a_use(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("optimize") == "none":
            raise PydanticCustomError("unused", "it means nothing without `optimize`")
        return value


class OnnxExternalOptions(Options):
    """Options of an `onnx_external` deployable.

    Attributes:
        opset: The operator set; see `onnx`.
        threshold_kib: Tensors from this size on, in KiB, lie in the data file.
    """

    opset: int | None = Field(default=None, ge=9, le=24)
    threshold_kib: int = Field(default=1, ge=1, le=2**20)


def _export(takes: str, cost: float) -> Rule:
    # The exporter follows from what was captured: torch has one for TorchScript, one for programs.
    return Rule(
        name="onnx.export",
        takes=(takes,),
        gives="onnx",
        toolchain="onnx-export",
        worker="worker:export",
        route=takes,
        cost=cost,
        options=("opset",),
    )


def _export_external(takes: str, cost: float) -> Rule:
    return replace(
        _export(takes, cost),
        name="onnx_external.export",
        gives="onnx_external",
        worker="worker:export_external",
        options=tuple(OnnxExternalOptions.model_fields),
    )


SCHEMES = (
    Scheme(
        "float16",
        exact_types="weights and arithmetic in float16; inputs and outputs stay float32",
        reads=("keep_float",),
        library="onnxruntime.transformers.float16",
    ),
    Scheme(
        "weight-only",
        bits=(8, 4),
        exact_types="weights in 8 or 4 bits, which `DequantizeLinear` makes floats; arithmetic in "
        "float32",
        reads=("keep_float", "block_size"),
        per_channel=(True, False),
        symmetric=(True, False),
        library="standard ONNX operators, as of onnxruntime.quantization's MatMulNBits in QDQ",
    ),
    Scheme(
        "dynamic",
        bits=(8,),
        exact_types="weights in int8; matrix products and LSTMs in integers with activations in "
        "uint8, whose range is found for each run; other weights as `weight-only`",
        reads=("keep_float",),
        per_channel=(True, False),
        library="onnxruntime.quantization",
    ),
    Scheme(
        "static",
        bits=(8, 4),
        exact_types="weights in 8 or 4 bits, biases in int32, activations in 8 or 16 bits as pairs of "
        "`QuantizeLinear` and `DequantizeLinear`; softmax, norms and the sums and products beside them "
        "in float32; weights of other operators as `weight-only`; inputs and outputs stay float32",
        reads=("keep_float",),
        per_channel=(True, False),
        symmetric=(False, True),
        activations=("uint8", "int8", "int16"),
        methods=METHOD_NAMES,
        library="onnxruntime.quantization, with ranges of this project's own",
    ),
    Scheme(
        "mixed",
        exact_types="as the profiles of the layers",
        mixes=("float16", "weight-only", "dynamic", "static"),
        library="all of these",
    ),
)

backend = Backend(
    name="onnx",
    folder=FOLDER,
    formats=(
        Format(
            name="onnx",
            suffix=".onnx",
            options=OnnxOptions,
            schemes=SCHEMES,
            runtime=Runtime("onnx"),
            original=Runtime("onnx", "source.original"),
            weights=Reader("onnx"),
            layers="quantize.single_layers",
            probe=Probe("onnx"),
            metadata_writer=MetadataWriter("onnx", "metadata:describe"),
            normaliser=Normaliser("onnx", "normal:normalise"),
        ),
        Format(
            name="onnx_external",
            suffix="_onnx",
            kind="tree",
            options=OnnxExternalOptions,
            runtime=Runtime("onnx"),
            weights=Reader("onnx"),
            probe=Probe("onnx"),
            metadata_writer=MetadataWriter("onnx", "metadata:describe"),
        ),
    ),
    rules=(
        # The exporter of TorchScript is deprecated upstream, and makes larger graphs (docs/exporters.md).
        _export("exported", 1.0),
        _export("torchscript", 3.0),
        _export_external("exported", 1.0),
        _export_external("torchscript", 3.0),
        Rule(
            name="onnx.adopt",
            takes=("source:onnx",),
            gives="onnx",
            toolchain="onnx",
            worker="source.adopt:adopt",
        ),
        Rule(
            name="onnx.simplify",
            takes=("onnx",),
            gives="onnx",
            toolchain="onnx",
            worker="rewrite.simplify:simplify",
            when=lambda options: bool(options["simplify"]),
            options=("simplify",),
        ),
        Rule(
            name="onnx.optimize",
            takes=("onnx",),
            gives="onnx",
            toolchain="onnx-optimize",
            worker="rewrite.optimize:optimize",
            when=lambda options: options["optimize"] != "none",
            options=("optimize", "num_heads", "hidden_size"),
        ),
        Rule(
            name="onnx.quantize",
            takes=("onnx",),
            gives="onnx",
            toolchain="onnx",
            worker="quantize.worker:quantize",
            schemes=tuple(scheme.name for scheme in SCHEMES),
        ),
    ),
    sources=(
        Source("onnx", name="onnx", floor="source.floor:floor", rounded="source.rounded:rounded"),
    ),
    toolchains=(
        Toolchain(
            name="onnx",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="onnx and ONNX Runtime: checks and runs ONNX files",
        ),
        Toolchain(
            name="onnx-export",
            lock=FOLDER / "lock.export.txt",
            requirements=FOLDER / "lock.export.in",
            about="torch and onnxscript: exports captured models to ONNX",
        ),
        Toolchain(
            name="onnx-optimize",
            lock=FOLDER / "lock.optimize.txt",
            requirements=FOLDER / "lock.optimize.in",
            about="ONNX Runtime's fusions for transformers",
        ),
    ),
)
