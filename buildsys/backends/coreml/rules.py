"""What the planner knows about Core ML."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from buildsys.backends.base import (
    Backend,
    Format,
    MetadataWriter,
    Normaliser,
    Options,
    Ports,
    Probe,
    Reader,
    Refusal,
    Rule,
    Runtime,
    Scheme,
    varying,
)
from buildsys.backends.toolchain import Toolchain
from buildsys.quantization import METHOD_NAMES

FOLDER = Path(__file__).parent
METADATA = MetadataWriter("coreml", "metadata:describe")
APPLE = "Core ML runs on Apple hardware only"
NEURAL_NETWORK = f"{APPLE}, and only packages are evaluated elsewhere"
EVALUATED = (
    "each operation of the saved package was evaluated in its declared precision; Core ML itself, which "
    "needs a Mac, did not run it"
)


def _pictures_on_mac(options: Mapping[str, Any]) -> str | None:
    if sys.platform == "darwin" and options["image_inputs"] is not None:
        return (
            "on a Mac, coremltools hands Core ML a picture by Pillow only, which is not installed"
        )
    return None


class ImageInput(Options):
    """What Core ML makes of a picture before the model sees it: `pixel * scale + bias`.

    Attributes:
        scale: What pixels from 0 to 255 are multiplied with, one number for all channels.
        bias: What is added after that, one number a channel; empty adds nothing.
        color: The order of the channels that the model takes.
    """

    scale: float = 1.0
    bias: tuple[float, ...] = ()
    color: Literal["RGB", "BGR", "GRAYSCALE"] = "RGB"


def _kind_of_images(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    return "<inputs>" if isinstance(value, Mapping) else None


ImageInputs = Annotated[
    Annotated[Literal["auto"], Tag("<word>")] | Annotated[dict[str, ImageInput], Tag("<inputs>")],
    Discriminator(
        _kind_of_images,
        custom_error_type="image_inputs",
        custom_error_message="must be `auto`, or inputs with `scale`, `bias` and `color`",
    ),
]


class CoremlOptions(Options):
    """Options of a `coreml` deployable.

    Attributes:
        minimum_deployment_target: The oldest system that must load the package. A newer one has
            more operators; `iOS17` and later keep recurrent weights in float16.
        compute_units: What the app should let the model run on. A package cannot carry this, so it
            is written to its metadata (`modelbuild.compute_units`) for the app to read.
        flexible: Whether dynamic dims stay dynamic (`RangeDim` between `min` and `max`); otherwise
            sizes are fixed at the example, which the Neural Engine prefers.
        image_inputs: Inputs that take pictures instead of arrays, by name: `{photo: {scale: 0.0078,
            bias: [-1, -1, -1], color: RGB}}`; or `auto` for every input with `preprocess`, from what that
            says. The app then hands over a picture of the right size, and does not scale it.
        class_labels: Whether the package is a classifier: for its one output it gives the name of the
            best class (`classLabel`) and a dictionary from names to numbers, with the `labels` of the
            recipe.
        author: Shown by Xcode.
        license: Shown by Xcode.
        description: Shown by Xcode; by default the project's and the model's names.
    """

    minimum_deployment_target: Literal["iOS15", "iOS16", "iOS17", "iOS18"] = "iOS16"
    compute_units: Literal["all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"] = "all"
    flexible: bool = False
    image_inputs: ImageInputs | None = None
    class_labels: bool = False
    author: str | None = None
    license: str | None = None
    description: str | None = None


def _no_array(ports: Ports) -> Refusal | None:
    """An input that Core ML has no type for, whatever the deployment target; `ports` asks the same."""
    for port in ports:
        if port["dtype"] == "bool":
            return Refusal(
                f"Core ML has no bool inputs, and `{port['name']}` is one",
                "declare it as int32 or float32, and compare it with zero in the model",
            )
        if not port["shape"]:
            return Refusal(
                f"Core ML has no inputs without axes, and `{port['name']}` is one",
                "declare it with the shape [1], and take its one element in the model",
            )
    return None


def _refuses_network(ports: Ports, options: Mapping[str, Any]) -> Refusal | None:
    halves = [port["name"] for port in ports if port["dtype"] == "float16"]
    if halves:
        return Refusal(
            f"input `{halves[0]}` is float16, which neural networks of Core ML do not take",
            "take the format `coreml`, or declare it as float32",
        )
    return _no_array(ports)


def _refuses(ports: Ports, options: Mapping[str, Any]) -> Refusal | None:
    if options["flexible"] and not varying(ports):
        return Refusal(
            "`flexible` keeps no size open, since none varies",
            "delete it, or declare a symbol in a shape and its `dims`",
            "flexible",
        )
    halves = [port["name"] for port in ports if port["dtype"] == "float16"]
    if halves and options["minimum_deployment_target"] == "iOS15":
        return _too_old(f"input `{halves[0]}` is float16, which needs", "iOS16")
    return _no_array(ports)


def _refuses_profile(profile: Mapping[str, Any], options: Mapping[str, Any]) -> Refusal | None:
    """What a profile needs of the deployment target; `compression.check` asks the same of the package."""
    if profile["scheme"] == "static":
        asked, needed = "activations as integers need", "iOS17"
    elif profile["scheme"] == "weight-only":
        newest = {
            "4 bits need": profile.get("bits") == 4 and not profile.get("palette"),
            "`block_size` needs": profile.get("block_size") is not None,
            "`sparsity` together with `bits` needs": profile.get("sparsity")
            and profile.get("bits"),
        }
        told = [what for what, on in newest.items() if on]
        asked, needed = (told[0], "iOS18") if told else ("compressed weights need", "iOS16")
    else:
        return None
    oldest = options["minimum_deployment_target"]
    return _too_old(asked, needed, oldest) if oldest < needed else None


def _too_old(asked: str, needed: str, oldest: str = "iOS15") -> Refusal:
    return Refusal(
        f"{asked} {needed} or later, and `minimum_deployment_target` is {oldest}",
        f"set `options: {{minimum_deployment_target: {needed}}}`",
        "minimum_deployment_target",
    )


class MlmodelOptions(Options):
    """Options of an `mlmodel` deployable.

    Attributes:
        image_inputs: Inputs that take pictures instead of arrays, by name: `{photo: {scale: 0.0078,
            bias: [-1, -1, -1], color: RGB}}`; or `auto` for every input with `preprocess`, from what that
            says. The app then hands over a picture of the right size, and does not scale it.
        class_labels: Whether the package is a classifier: for its one output it gives the name of the
            best class (`classLabel`) and a dictionary from names to numbers, with the `labels` of the
            recipe.
        author: Shown by Xcode.
        license: Shown by Xcode.
        description: Shown by Xcode; by default the project's and the model's names.
    """

    image_inputs: ImageInputs | None = None
    class_labels: bool = False
    author: str | None = None
    license: str | None = None
    description: str | None = None


def _told(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What the recipe says of pictures and classes, where the converter itself needs it."""
    images = ("preprocess",) if options["image_inputs"] == "auto" else ()
    return (*images, "labels") if options["class_labels"] else images


def _convert(gives: str, options: type[Options], takes: str, cost: float) -> Rule:
    return Rule(
        name=f"{gives}.convert",
        takes=(takes,),
        gives=gives,
        toolchain="coreml",
        worker="worker:convert" if gives == "coreml" else "convert.network:convert",
        schemes=("float16",),
        cost=cost,
        options=tuple(options.model_fields),
        metadata=True,
        told=_told,
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
                    reads=("keep_float",),
                ),
                Scheme(
                    "weight-only",
                    bits=(4, 8),
                    palettes=(1, 2, 3, 4, 6, 8),
                    exact_types="weights as integers, in a palette or pruned; arithmetic in float32",
                    reads=("keep_float", "palette", "block_size", "sparsity"),
                    per_channel=(True, False),
                    symmetric=(True, False),
                    library="coremltools.optimize.coreml",
                ),
                Scheme(
                    "static",
                    bits=(8,),
                    exact_types="weights in int8; activations of convolutions, linear layers, sums and "
                    "pools in int8, from iOS17 on; other arithmetic in float32",
                    reads=("keep_float",),
                    per_channel=(True, False),
                    symmetric=(True, False),
                    methods=METHOD_NAMES,
                    library="coremltools.optimize.coreml",
                ),
                Scheme(
                    "mixed",
                    exact_types="each layer as its profile has it; one of them may be static",
                    mixes=("weight-only", "static"),
                    one_static=True,
                    library="coremltools.optimize.coreml",
                ),
            ),
            # No machine ever becomes a Mac: to ask at each plan would keep its answer from being stored.
            runtime=Runtime("coreml") if sys.platform == "darwin" else None,
            unverified=APPLE,
            evaluator=Runtime("coreml", "evaluation", unrounded=True),
            probe=Probe("coreml"),
            evaluated=EVALUATED,
            unrun=_pictures_on_mac,
            weights=Reader("coreml"),
            dynamic=False,
            opens="flexible",
            refuses=_refuses,
            refuses_profile=_refuses_profile,
            metadata_writer=METADATA,
            normaliser=Normaliser("coreml", "normal:normalise"),
        ),
        Format(
            name="mlmodel",
            suffix=".mlmodel",
            options=MlmodelOptions,
            schemes=(
                Scheme(
                    "float16", exact_types="weights in float16; arithmetic as the device has it"
                ),
            ),
            unverified=NEURAL_NETWORK,
            dynamic=False,
            refuses=_refuses_network,
            metadata_writer=METADATA,
            normaliser=Normaliser("coreml", "normal:normalise"),
        ),
    ),
    rules=(
        # coremltools' frontend for exported programs lacks operators that the one for TorchScript
        # has (LSTM is one), so that an exported program is taken only where there is nothing else.
        _convert("coreml", CoremlOptions, "torchscript", 1.0),
        _convert("coreml", CoremlOptions, "exported", 4.0),
        _convert("mlmodel", MlmodelOptions, "torchscript", 1.0),
        _convert("mlmodel", MlmodelOptions, "exported", 4.0),
        Rule(
            name="coreml.quantize",
            takes=("coreml",),
            gives="coreml",
            toolchain="coreml",
            worker="worker:quantize",
            schemes=("weight-only", "static", "mixed"),
        ),
    ),
    toolchains=(
        Toolchain(
            name="coreml",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="coremltools and torch: makes .mlpackage and .mlmodel files",
        ),
    ),
)
