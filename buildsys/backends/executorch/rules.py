"""What the planner knows about ExecuTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from buildsys.backends.base import (
    Backend,
    Format,
    Options,
    Rule,
    Runtime,
    Scheme,
)
from buildsys.backends.toolchain import Toolchain
from buildsys.quantization import METHOD_NAMES

FOLDER = Path(__file__).parent
LIBRARY = "torchao, XNNPACKQuantizer of ExecuTorch"


class ExecutorchOptions(Options):
    """Options of an `executorch` deployable.

    Attributes:
        backend: What computes. `xnnpack`: the fast CPU kernels of phones, and the portable kernels
            for what they lack. `portable`: the portable kernels alone, slow and small, which every
            app with ExecuTorch has. `coreml`: Core ML in float32 for iOS 16 and later, which no
            other machine runs: such a file is `unverified`.
    """

    backend: Literal["xnnpack", "portable", "coreml"] = "xnnpack"


def _unrun(options: Mapping[str, Any]) -> str | None:
    if options.get("backend") == "coreml":
        return "ExecuTorch runs its Core ML delegate on Apple hardware only"
    return None


backend = Backend(
    name="executorch",
    folder=FOLDER,
    formats=(
        Format(
            name="executorch",
            suffix=".pte",
            options=ExecutorchOptions,
            schemes=(
                Scheme(
                    "dynamic",
                    bits=(8, 4),
                    exact_types="weights of linear layers in int8 or int4, their activations in int8 "
                    "with ranges that are found while it runs; all else in float32",
                    reads=("keep_float",),
                    symmetric=(True,),
                    library=LIBRARY,
                ),
                Scheme(
                    "static",
                    bits=(8,),
                    exact_types="weights and activations in int8 where XNNPACK has them so; inputs and "
                    "outputs stay float32",
                    reads=("keep_float",),
                    per_channel=(True, False),
                    symmetric=(False, True),
                    activations=("int8",),
                    methods=METHOD_NAMES,
                    library=LIBRARY,
                ),
                Scheme(
                    "mixed",
                    exact_types="an operator each as its own profile has it",
                    mixes=("dynamic", "static"),
                    library=LIBRARY,
                ),
            ),
            runtime=Runtime(
                toolchain="executorch",
                approximates="XNNPACK computes the tanh form of GELU as the exact one",
            ),
            unrun=_unrun,
        ),
    ),
    rules=(
        Rule(
            name="executorch.convert",
            takes=("exported",),
            gives="executorch",
            toolchain="executorch",
            worker="worker:convert",
            schemes=("dynamic", "static", "mixed"),
            needs={"dynamic": True},
            options=("backend",),
        ),
    ),
    toolchains=(
        Toolchain(
            name="executorch",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="ExecuTorch: exported programs to .pte, and its runtime",
        ),
    ),
)
