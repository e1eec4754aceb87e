"""What the planner knows about PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buildsys.backends.base import (
    Backend,
    Format,
    MetadataWriter,
    Rule,
    Runtime,
    Scheme,
    Source,
)
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent
METADATA = MetadataWriter("torch", "metadata:describe")


def _source(kind: str, **more: Any) -> Source:
    return Source(
        kind,
        name="torch",
        floor="precision.floor:floor",
        rounded="precision.rounded:rounded",
        weights="original.state:weights",
        trace="original.recorder:trace",
        toolchain="torch",
        **more,
    )


backend = Backend(
    name="torch",
    folder=FOLDER,
    formats=(
        Format(
            name="torchscript", suffix=".pt", runtime=Runtime("torch"), metadata_writer=METADATA
        ),
        Format(
            name="exported",
            suffix=".pt2",
            schemes=(
                Scheme(
                    "float16",
                    exact_types="weights and arithmetic in float16; inputs and outputs as declared",
                    reads=("keep_float",),
                    library="torch.export",
                ),
                Scheme(
                    "bfloat16",
                    exact_types="weights and arithmetic in bfloat16; inputs and outputs as declared",
                    reads=("keep_float",),
                    library="torch.export",
                ),
            ),
            runtime=Runtime("torch"),
            metadata_writer=METADATA,
        ),
        Format(
            name="ptl",
            suffix=".ptl",
            runtime=Runtime("torch", "lite.runtime"),
            legacy="PyTorch Mobile, which runs .ptl files, is no longer maintained: "
            "`format: executorch` is its successor",
        ),
    ),
    rules=(
        Rule(
            name="torch.capture",
            takes=("source:factory",),
            gives="torchscript",
            toolchain="model",
            worker="worker:capture",
            methods=("trace", "script"),
            user_code=True,
        ),
        Rule(
            name="torch.lite",
            takes=("torchscript",),
            gives="ptl",
            toolchain="torch",
            worker="lite.worker:convert",
        ),
        # Dearer than a trace, which what takes either is made of. A model that says `capture: script`
        # is exported only where nothing else will do: an exported program has no control flow.
        Rule(
            name="torch.export",
            takes=("source:factory",),
            gives="exported",
            toolchain="model",
            worker="worker:export",
            cost=2.0,
            costs={"script": 5.0},
            user_code=True,
        ),
        # Dearest: for what is made of PyTorch alone, and as a second way where onnx2tf fails. In the
        # toolchain of the exporters, which has both libraries.
        Rule(
            name="onnx.import",
            takes=("onnx",),
            gives="exported",
            toolchain="onnx-export",
            worker="from_onnx.worker:convert",
            cost=5.0,
        ),
        Rule(
            name="exported.quantize",
            takes=("exported",),
            gives="exported",
            toolchain="torch",
            worker="capture.lowering:quantize",
            schemes=("float16", "bfloat16"),
        ),
        Rule(
            name="torch.adopt",
            takes=("source:torchscript",),
            gives="torchscript",
            toolchain="torch",
            worker="worker:adopt",
        ),
        Rule(
            name="torch.adopt",
            takes=("source:exported",),
            gives="exported",
            toolchain="torch",
            worker="worker:adopt",
        ),
    ),
    sources=(
        _source(
            "factory",
            reference="original.reference:reference",
            transforms="transforms.steps",
            code=True,
        ),
        _source("torchscript"),
        _source("exported"),
    ),
    toolchains=(
        Toolchain(
            name="torch",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="torch and safetensors: captures models and runs the originals",
        ),
    ),
)
