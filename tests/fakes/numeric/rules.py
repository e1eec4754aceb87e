"""Formats `torchscript` (captured), `onnx` and `tflite`, all of them a matrix in JSON; and `packed`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from buildsys.backends.base import (
    Backend,
    Format,
    Options,
    Probe,
    Rule,
    Runtime,
    Scheme,
    Source,
)

HERE = Path(__file__).parent
RUNTIME = Runtime("host", "runtime")
SMALL_RUNTIME = Runtime("host", "small_runtime")


class PlainOptions(Options):
    """`gain` scales the weights; `colour` only enters the key."""

    gain: float = 1.0
    colour: Literal["red", "green"] = "red"


backend = Backend(
    name="numeric",
    folder=HERE,
    formats=(
        Format("torchscript", ".captured", runtime=RUNTIME, deployable=False),
        Format("onnx", ".plain", options=PlainOptions, runtime=RUNTIME, probe=Probe("host")),
        Format(
            "tflite",
            ".small",
            schemes=(
                Scheme("float16"),
                Scheme("static", (8,), symmetric=(True, False)),
            ),
            runtime=SMALL_RUNTIME,
        ),
        Format(
            "packed",
            ".packed",
            schemes=(
                Scheme("float16", reads=("keep_float",)),
                Scheme("weight-only", (4, 8), per_channel=(True, False), reads=("keep_float",)),
                Scheme("dynamic", (8,), per_channel=(True, False), reads=("keep_float",)),
                Scheme(
                    "static",
                    (8,),
                    activations=("int8", "int16"),
                    reads=("keep_float",),
                ),
            ),
            runtime=Runtime("host", "packing"),
            layers="packing",
        ),
        Format("coreml", ".package", kind="tree", unverified="nothing runs a fake package"),
    ),
    sources=(
        Source(
            "factory",
            name="torch",
            floor="worker:floor",
            rounded="worker:rounded",
            reference="worker:reference",
            weights="state:weights",
            trace="recorder:trace",
            transforms="transform",
            code=True,
        ),
    ),
    rules=(
        Rule(
            "torch.capture",
            ("source:factory",),
            "torchscript",
            "model",
            "worker:capture",
            methods=("trace",),
            user_code=True,
        ),
        Rule(
            "onnx.export",
            ("torchscript",),
            "onnx",
            "host",
            "worker:convert",
            options=("gain", "colour"),
        ),
        Rule("tflite.convert", ("onnx",), "tflite", "host", "worker:convert", route="onnx"),
        Rule(
            "tflite.quantize",
            ("tflite",),
            "tflite",
            "host",
            "worker:quantize",
            schemes=("float16", "static"),
        ),
        Rule("packed.convert", ("onnx",), "packed", "host", "packing:convert"),
        Rule(
            "packed.quantize",
            ("packed",),
            "packed",
            "host",
            "packing:quantize",
            schemes=("float16", "weight-only", "dynamic", "static"),
        ),
        Rule("coreml.convert", ("torchscript",), "coreml", "host", "worker:package"),
        Rule(
            "edge.never",
            ("onnx",),
            "engine",
            "host",
            "worker:convert",
            available=lambda: "needs an accelerator",
        ),
    ),
)
