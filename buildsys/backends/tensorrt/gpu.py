"""The NVIDIA GPU of this machine, as `nvidia-smi` tells. Standard library only: plans ask for it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache

OLDEST_DRIVER = 525
"""The first driver for CUDA 12, which the pinned TensorRT is made for."""
OLDEST_FOR_CUDA_13 = 580
"""The first driver for CUDA 13, which the pinned Torch-TensorRT is made for."""
SECONDS = 20
QUERY = ("--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
ELSEWHERE = "build it on a machine with an NVIDIA GPU, where `nvidia-smi` lists one"


class NoGpu(Exception):
    """There is none to use; the message says why and what mends it."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU in the order of the bus, which engines are built for.

    Attributes:
        gpu: Its name, for example `NVIDIA L4`.
        compute_capability: For example `8.9`.
        driver: The driver's version, for example `580.65.06`.
    """

    gpu: str
    compute_capability: str
    driver: str


def unavailable(oldest_driver: int = OLDEST_DRIVER) -> str | None:
    """Why no engine can be built on this machine, or `None`."""
    try:
        found(oldest_driver)
    except NoGpu as reason:
        return str(reason)
    return None


def described() -> dict[str, str]:
    """What of this machine decides an engine's bytes; nothing where none can be built."""
    try:
        return asdict(found())
    except NoGpu:
        return {}


def found(oldest_driver: int = OLDEST_DRIVER) -> Gpu:
    """The GPU of this machine.

    Raises:
        NoGpu: There is none, or its driver is older than `oldest_driver`.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoGpu(
            f"TensorRT is pinned here for Linux on x86_64, not for {sys.platform} on "
            f"{platform.machine()}: {ELSEWHERE}"
        )
    program = shutil.which("nvidia-smi")
    if program is None:
        raise NoGpu(f"TensorRT needs an NVIDIA GPU, and no driver of one is here: {ELSEWHERE}")
    text = _asked(program)
    fields = [field.strip() for field in text.partition("\n")[0].split(",")]
    if len(fields) != len(Gpu.__dataclass_fields__) or not fields[2].partition(".")[0].isdigit():
        said = text.strip().partition("\n")[0] or "nothing"
        raise NoGpu(f"TensorRT needs an NVIDIA GPU, and `nvidia-smi` says `{said}`: {ELSEWHERE}")
    gpu = Gpu(*fields)
    if int(gpu.driver.partition(".")[0]) < oldest_driver:
        raise NoGpu(
            f"TensorRT needs an NVIDIA driver from {oldest_driver} on, and {gpu.driver} is here: "
            "install a newer one"
        )
    return gpu


@cache
def _asked(program: str) -> str:
    try:
        done = subprocess.run(
            [program, *QUERY], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout or done.stderr
