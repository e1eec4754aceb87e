"""What the planner knows about TFLite."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import (
    Backend,
    Carrier,
    Format,
    Probe,
    Reader,
    Rule,
    Runtime,
    Scheme,
    Toolchain,
)

FOLDER = Path(__file__).parent

backend = Backend(
    name="tflite",
    folder=FOLDER,
    formats=(
        Format(
            name="tflite",
            suffix=".tflite",
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
                    "dynamic",
                    bits=(8,),
                    exact_types="weights in int8; activations are quantized while it runs",
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
            runtime=Runtime(toolchain="tflite"),
            probe=Probe("tflite"),
            weights=Reader("tflite"),
            carrier=Carrier("tflite", "carrier:describe"),
            dynamic=False,
        ),
    ),
    rules=(
        Rule(
            name="tflite.convert",
            takes=("exported",),
            gives="tflite",
            toolchain="tflite-direct",
            worker="direct_worker:convert",
            route="direct",
            cost=1.0,
            needs={"dynamic": False},
        ),
        # Dearer, for it goes through TensorFlow, and outputs that are images come out
        # channels-last: that is declared and undone when it is run, but an app has to know.
        Rule(
            name="tflite.convert",
            takes=("onnx",),
            gives="tflite",
            toolchain="tflite-onnx",
            worker="onnx_worker:convert",
            route="onnx",
            cost=4.0,
        ),
        Rule(
            name="tflite.quantize",
            takes=("tflite",),
            gives="tflite",
            toolchain="tflite",
            worker="quantize_worker:quantize",
            schemes=("float16", "weight-only", "dynamic", "static"),
        ),
    ),
    toolchains=(
        Toolchain(
            name="tflite",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="LiteRT and its quantizer: runs and quantizes .tflite files",
        ),
        Toolchain(
            name="tflite-direct",
            lock=FOLDER / "lock.direct.txt",
            requirements=FOLDER / "lock.direct.in",
            about="litert-torch: exported programs to .tflite",
        ),
        Toolchain(
            name="tflite-onnx",
            lock=FOLDER / "lock.onnx.txt",
            requirements=FOLDER / "lock.onnx.in",
            about="onnx2tf and TensorFlow: ONNX to .tflite",
        ),
    ),
)
