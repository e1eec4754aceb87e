"""What the planner knows about ORT files, which ONNX Runtime's small builds for phones read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from buildsys.backends.base import Backend, Format, Options, Rule, Runtime
from buildsys.backends.onnx.rules import SCHEMES

FOLDER = Path(__file__).parent
ORT_SCHEMES = tuple(
    # ONNX Runtime writes integers of 4 bits into ORT files, and does not load them.
    replace(scheme, bits=(8,)) if scheme.bits else scheme
    for scheme in SCHEMES
)

Level = Literal["none", "basic", "extended"]


class OrtOptions(Options):
    """Options of an `ort` deployable.

    Attributes:
        optimization: What is done to the graph before it is written, since small builds cannot do it
            when they load. `basic` keeps to standard operators, `extended` fuses them into ONNX
            Runtime's own; neither looks at the machine.
    """

    optimization: Level = "extended"


class OrtConfigOptions(Options):
    """Options of an `ort_config` deployable.

    Attributes:
        optimization: As that of the `ort` file which the build is to run: other levels have other
            operators.
        type_reduction: Lists the types that each operator meets as well, for builds with
            `--enable_reduced_operator_type_support`.
    """

    optimization: Level = "extended"
    type_reduction: bool = False


backend = Backend(
    name="ort",
    folder=FOLDER,
    formats=(
        Format(
            name="ort",
            suffix=".ort",
            options=OrtOptions,
            schemes=ORT_SCHEMES,
            runtime=Runtime("onnx"),
        ),
        Format(
            name="ort_config",
            suffix=".config",
            options=OrtConfigOptions,
            unverified="it lists the operators that a build of ONNX Runtime needs",
            numeric=False,
        ),
    ),
    rules=(
        Rule(
            name="ort.convert",
            takes=("onnx",),
            gives="ort",
            toolchain="onnx",
            worker="worker:convert",
            carries=tuple(scheme.name for scheme in SCHEMES),
            options=("optimization",),
        ),
        Rule(
            name="ort.list",
            takes=("onnx",),
            gives="ort_config",
            toolchain="onnx",
            worker="worker:list_operators",
            options=("optimization", "type_reduction"),
        ),
    ),
)
