"""What the planner knows about OpenVINO."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import Backend, Format, Probe, Reader, Rule, Runtime, Scheme, Toolchain

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
                    exact_types="weights in float16; arithmetic in float32",
                    reads=("keep_float",),
                ),
                Scheme(
                    "weight-only",
                    bits=(8,),
                    exact_types="weights in int8, a scale a channel; arithmetic in float32",
                    reads=("keep_float",),
                ),
                Scheme(
                    "static",
                    bits=(8,),
                    calibrated=True,
                    exact_types="weights and activations in int8; inputs and outputs stay float32",
                    reads=("keep_float",),
                ),
            ),
            runtime=Runtime(toolchain="openvino"),
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
            worker="quantize_worker:quantize",
            schemes=("float16", "weight-only", "static"),
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
