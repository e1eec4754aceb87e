"""What the planner knows about ONNX."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from buildsys.backends.base import Backend, Format, Options, Rule, Runtime, Toolchain

FOLDER = Path(__file__).parent


class OnnxOptions(Options):
    """Options of an `onnx` deployable.

    Attributes:
        opset: The operator set. By default 17 from a trace or script, and 20 from an exported
            program; older runtimes need lower ones.
    """

    opset: int | None = Field(default=None, ge=9, le=24)


def _export(takes: str, cost: float) -> Rule:
    # The exporter follows from what was captured: torch has one for TorchScript, one for programs.
    return Rule(
        name="onnx.export",
        takes=(takes,),
        gives="onnx",
        toolchain="onnx-export",
        worker="worker:export",
        cost=cost,
        options=("opset",),
    )


backend = Backend(
    name="onnx",
    folder=FOLDER,
    formats=(Format(name="onnx", suffix=".onnx", options=OnnxOptions, runtime=Runtime("onnx")),),
    rules=(
        _export("torchscript", 1.0),
        _export("exported", 1.5),
        Rule(
            name="onnx.adopt",
            takes=("source:onnx",),
            gives="onnx",
            toolchain="onnx",
            worker="adopt:adopt",
        ),
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
    ),
)
