"""What the planner knows about TFLite."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import (
    Backend,
    Format,
    MetadataWriter,
    Probe,
    Reader,
    Rule,
    Runtime,
    Scheme,
)
from buildsys.backends.toolchain import Toolchain
from buildsys.quantization import METHOD_NAMES

FOLDER = Path(__file__).parent
LIBRARY = "ai-edge-quantizer"

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
                    widens=True,
                    exact_types="weights in float16; arithmetic in float32",
                    reads=("keep_float",),
                    library=LIBRARY,
                ),
                Scheme(
                    "weight-only",
                    bits=(8, 4),
                    exact_types="weights in int8 or int4, 8 where LiteRT has no 4; arithmetic in float32",
                    reads=("keep_float",),
                    per_channel=(True, False),
                    symmetric=(True, False),
                    library=LIBRARY,
                ),
                Scheme(
                    "dynamic",
                    bits=(8, 4),
                    exact_types="weights in int8 or int4, with blocks of 32, 64, 128 or 256 where there "
                    "are rows; activations are quantized while it runs",
                    reads=("keep_float", "block_size"),
                    per_channel=(True, False),
                    symmetric=(True,),
                    library=LIBRARY,
                ),
                Scheme(
                    "static",
                    bits=(8, 4),
                    exact_types="weights in int8 or int4, activations in int8 or int16; inputs and "
                    "outputs stay float32",
                    reads=("keep_float",),
                    per_channel=(True, False),
                    symmetric=(False, True),
                    activations=("int8", "int16"),
                    methods=METHOD_NAMES,
                    library=LIBRARY,
                ),
                Scheme(
                    "mixed",
                    exact_types="an operator each as its own profile has it",
                    mixes=("float16", "weight-only", "dynamic", "static"),
                    library=LIBRARY,
                ),
            ),
            runtime=Runtime(
                toolchain="tflite",
                fast_kernels="XNNPACK, the delegate that LiteRT applies by default",
            ),
            layers="quantize.single_layers",
            probe=Probe("tflite"),
            weights=Reader("tflite"),
            metadata_writer=MetadataWriter("tflite", "metadata:describe"),
            dynamic=False,
        ),
    ),
    rules=(
        Rule(
            name="tflite.convert",
            takes=("exported",),
            gives="tflite",
            toolchain="tflite-direct",
            worker="convert.direct:convert",
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
            worker="convert.from_onnx:convert",
            route="onnx",
            cost=4.0,
        ),
        Rule(
            name="tflite.quantize",
            takes=("tflite",),
            gives="tflite",
            toolchain="tflite",
            worker="quantize.worker:quantize",
            schemes=("float16", "weight-only", "dynamic", "static", "mixed"),
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
