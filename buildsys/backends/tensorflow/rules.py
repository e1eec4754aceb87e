"""What the planner knows about SavedModels and TensorFlow.js."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import Backend, Format, Rule, Runtime
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent

backend = Backend(
    name="tensorflow",
    folder=FOLDER,
    formats=(
        # Made and run in the toolchain that takes ONNX to TFLite: it goes by a SavedModel.
        Format(
            name="saved_model",
            suffix=".saved_model",
            kind="tree",
            runtime=Runtime(toolchain="tflite-onnx", module="saved_model_runtime"),
            dynamic=False,
        ),
        Format(
            name="tfjs",
            suffix=".tfjs",
            kind="tree",
            runtime=Runtime(toolchain="tfjs", module="tfjs_runtime"),
            dynamic=False,
        ),
    ),
    rules=(
        Rule(
            name="saved_model.convert",
            takes=("onnx",),
            gives="saved_model",
            toolchain="tflite-onnx",
            worker="saved_model_worker:convert",
        ),
        Rule(
            name="tfjs.convert",
            takes=("saved_model",),
            gives="tfjs",
            toolchain="tfjs",
            worker="tfjs_worker:convert",
        ),
    ),
    toolchains=(
        Toolchain(
            name="tfjs",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="tensorflowjs and TensorFlow.js: SavedModels for browsers, run in Node.js",
            node=FOLDER / "node",
        ),
    ),
)
