"""What the planner knows about ONNX models in a browser."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import Backend, Format, Rule, Runtime
from buildsys.backends.onnx.rules import SCHEMES
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent

backend = Backend(
    name="onnx_web",
    folder=FOLDER,
    formats=(
        Format(
            name="onnx_web",
            suffix=".web",
            kind="tree",
            schemes=SCHEMES,
            runtime=Runtime(toolchain="onnx-web"),
        ),
    ),
    rules=(
        Rule(
            name="onnx_web.pack",
            takes=("onnx",),
            gives="onnx_web",
            toolchain="onnx-web",
            worker="worker:pack",
            ships=("page",),
            carries=tuple(scheme.name for scheme in SCHEMES),
        ),
    ),
    toolchains=(
        Toolchain(
            name="onnx-web",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="onnxruntime-web: packs ONNX files for browsers, and runs them in Node.js",
            node=FOLDER / "node",
        ),
    ),
)
