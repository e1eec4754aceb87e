"""What the planner knows about Core ML."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from buildsys.backends.base import Backend, Format, Options, Rule, Scheme, Toolchain

FOLDER = Path(__file__).parent


class CoremlOptions(Options):
    """Options of a `coreml` deployable.

    Attributes:
        minimum_deployment_target: The oldest system that must load the package. A newer one has
            more operators; `iOS17` and later keep recurrent weights in float16.
        compute_units: What the app should let the model run on. A package cannot carry this, so it
            is written to its metadata (`modelbuild.compute_units`) for the app to read.
        flexible: Whether dynamic dims stay dynamic (`RangeDim` between `min` and `max`); otherwise
            sizes are fixed at the example, which the Neural Engine prefers.
        author: Shown by Xcode.
        license: Shown by Xcode.
        description: Shown by Xcode; by default the project's and the model's names.
    """

    minimum_deployment_target: Literal["iOS15", "iOS16", "iOS17", "iOS18"] = "iOS16"
    compute_units: Literal["all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"] = "all"
    flexible: bool = False
    author: str | None = None
    license: str | None = None
    description: str | None = None


def _convert(takes: str, cost: float) -> Rule:
    return Rule(
        name="coreml.convert",
        takes=(takes,),
        gives="coreml",
        toolchain="coreml",
        worker="worker:convert",
        schemes=("float16",),
        cost=cost,
        options=tuple(CoremlOptions.model_fields),
        metadata=True,
    )


backend = Backend(
    name="coreml",
    folder=FOLDER,
    formats=(
        Format(
            name="coreml",
            suffix=".mlpackage",
            kind="tree",
            options=CoremlOptions,
            schemes=(
                Scheme(
                    "float16",
                    exact_types="weights and arithmetic in float16; inputs and outputs as declared",
                ),
                Scheme(
                    "weight-only",
                    bits=(8,),
                    exact_types="weights in int8 with a scale a channel; arithmetic in float32",
                ),
            ),
            unverified=("Core ML runs on Apple hardware only, and no evaluator is built in yet"),
            dynamic=False,
        ),
    ),
    rules=(
        # coremltools' frontend for exported programs lacks operators that the one for TorchScript
        # has (LSTM is one), so that an exported program is taken only where there is nothing else.
        _convert("torchscript", 1.0),
        _convert("exported", 4.0),
        Rule(
            name="coreml.quantize",
            takes=("coreml",),
            gives="coreml",
            toolchain="coreml",
            worker="worker:quantize",
            schemes=("weight-only",),
        ),
    ),
    toolchains=(
        Toolchain(
            name="coreml",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="coremltools and torch: makes .mlpackage files",
        ),
    ),
)
