"""What the planner knows about TensorRT, by itself and within torch."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from buildsys.backends.base import (
    Backend,
    Format,
    Options,
    Ports,
    Refusal,
    Rule,
    Runtime,
    varying,
)
from buildsys.backends.tensorrt import gpu
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent


no_gpu_for_cuda_13 = partial(gpu.unavailable, gpu.OLDEST_FOR_CUDA_13)
"""Why Torch-TensorRT cannot be used on this machine, or `None`."""


class EngineOptions(Options):
    """Options of everything that holds engines."""

    precision: Literal["fp32", "tf32", "fp16"] = "fp32"
    optimize_for: dict[str, int] = Field(default_factory=dict)
    workspace_mib: int = Field(default=1024, ge=1)
    builder_optimization_level: int = Field(default=3, ge=0, le=5)


class TensorrtOptions(EngineOptions):
    """Options of a `tensorrt` deployable.

    Attributes:
        precision: What layers may compute in: `fp32`; `tf32`, which rounds products to 10 bits where
            the GPU has it; `fp16`, where TensorRT finds it faster.
        optimize_for: Size of each symbol that the engine is to be fastest at. Default: `example`.
        workspace_mib: How much GPU memory a layer may take besides its weights, in MiB.
        builder_optimization_level: How long it looks for faster kernels, from 0 to 5.
    """


class TorchTensorrtOptions(EngineOptions):
    """Options of a `torch_tensorrt` deployable.

    Attributes:
        precision: What engines compute in: `fp32`; `tf32`, which rounds products to 10 bits where
            the GPU has it; `fp16`, in which all operators that are safe to by rule compute.
        optimize_for: Size of each symbol that engines are to be fastest at, from 2 on. Default:
            `example`.
        workspace_mib: How much GPU memory a layer may take besides its weights, in MiB.
        builder_optimization_level: How long it looks for faster kernels, from 0 to 5.
    """


def refuses(ports: Ports, options: Mapping[str, Any]) -> Refusal | None:
    """Sizes in `optimize_for` that do not vary, or not so far."""
    sizes = varying(ports)
    for symbol, size in options["optimize_for"].items():
        if symbol not in sizes:
            near = get_close_matches(symbol, sizes, n=1)
            known = ", ".join(f"`{name}`" for name in sizes) or "none"
            return Refusal(
                f"no size `{symbol}` varies in this model's inputs",
                f"did you mean `{near[0]}`?" if near else f"sizes that vary: {known}",
                "optimize_for",
            )
        least, most = sizes[symbol]["min"], sizes[symbol]["max"]
        if not least <= size <= most:
            return Refusal(
                f"{size} is outside of the range of `{symbol}`, {least} to {most}",
                f"name a size in it, or widen `dims.{symbol}`",
                "optimize_for",
            )
    return None


backend = Backend(
    name="tensorrt",
    folder=FOLDER,
    formats=(
        Format(
            name="tensorrt",
            suffix=".engine",
            options=TensorrtOptions,
            runtime=Runtime("tensorrt", available=gpu.unavailable, resources={"gpu": 1}),
            refuses=refuses,
        ),
        Format(
            name="torch_tensorrt",
            suffix=".trt.pt2",
            options=TorchTensorrtOptions,
            runtime=Runtime(
                "torch-tensorrt",
                "torch_runtime",
                available=no_gpu_for_cuda_13,
                resources={"gpu": 1},
            ),
            refuses=refuses,
        ),
    ),
    rules=(
        Rule(
            name="tensorrt.build",
            takes=("onnx",),
            gives="tensorrt",
            toolchain="tensorrt",
            worker="worker:build",
            options=tuple(TensorrtOptions.model_fields),
            # Kernels are chosen by how fast they are while others run: a rerun may choose others.
            reproducible=False,
            available=gpu.unavailable,
            machine=gpu.described,
            resources={"gpu": 1},
        ),
        Rule(
            name="torch_tensorrt.compile",
            takes=("exported",),
            gives="torch_tensorrt",
            toolchain="torch-tensorrt",
            worker="torch_worker:build",
            options=tuple(TorchTensorrtOptions.model_fields),
            reproducible=False,  # As `tensorrt.build`.
            available=no_gpu_for_cuda_13,
            machine=gpu.described,
            resources={"gpu": 1},
        ),
    ),
    toolchains=(
        Toolchain(
            name="tensorrt",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="TensorRT: builds and runs engines; needs an NVIDIA GPU",
        ),
        Toolchain(
            name="torch-tensorrt",
            lock=FOLDER / "lock.torch.txt",
            requirements=FOLDER / "lock.torch.in",
            about="Torch-TensorRT: builds and runs programs of engines; needs an NVIDIA GPU",
        ),
    ),
)
