"""What the planner knows about OpenVINO."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import (
    Backend,
    Format,
    Probe,
    Reader,
    Rule,
    Runtime,
    Scheme,
)
from buildsys.backends.toolchain import Toolchain
from buildsys.quantization import METHOD_NAMES

FOLDER = Path(__file__).parent

backend = Backend(
    name="openvino",
    folder=FOLDER,
    formats=(
        Format(
            name="openvino",
            suffix="_openvino",
            kind="tree",
            schemes=(
                Scheme(
                    "float16",
                    widens=True,
                    exact_types="weights in float16; arithmetic in float32",
                    reads=("keep_float",),
                ),
                Scheme(
                    "weight-only",
                    bits=(8, 4),
                    exact_types="weights in int8, or matrices in int4, a scale a channel or, in int4, "
                    "a block; arithmetic in float32",
                    reads=("keep_float", "block_size"),
                    symmetric=(True, False),
                    library="nncf.compress_weights",
                ),
                Scheme(
                    "static",
                    bits=(8,),
                    exact_types="weights and activations in int8; inputs and outputs stay float32, and so "
                    "does what recurrent layers compute",
                    reads=("keep_float",),
                    per_channel=(True, False),
                    symmetric=(True, False),
                    methods=METHOD_NAMES,
                    library="nncf.quantize",
                ),
                Scheme(
                    "mixed",
                    exact_types="each layer as its profile has it; one of them may be static",
                    mixes=("float16", "weight-only", "static"),
                    one_static=True,
                    library="nncf",
                ),
            ),
            runtime=Runtime(
                toolchain="openvino",
                fast_kernels="the kernels that OpenVINO generates for chains of operations "
                "(`SNIPPETS_MODE`)",
            ),
            layers="quantize.single_layers",
            probe=Probe("openvino"),
            weights=Reader("openvino"),
        ),
    ),
    rules=(
        Rule(
            name="openvino.convert",
            takes=("onnx",),
            gives="openvino",
            toolchain="openvino",
            worker="worker:convert",
        ),
        Rule(
            name="openvino.quantize",
            takes=("openvino",),
            gives="openvino",
            toolchain="openvino",
            worker="quantize.worker:quantize",
            schemes=("float16", "weight-only", "static", "mixed"),
        ),
    ),
    toolchains=(
        Toolchain(
            name="openvino",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="OpenVINO and NNCF: makes, quantizes and runs OpenVINO IR",
        ),
    ),
)
