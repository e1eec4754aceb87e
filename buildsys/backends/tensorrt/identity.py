"""Whether the GPU in use is the one that the key was made for."""

from __future__ import annotations

import os

from ..kit.protocol.request import StepError

# As `nvidia-smi` counts, by which the planner knew the GPU; read when CUDA is first used.
os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"

FIRST = 0


def check(machine: dict[str, str], name: str, capability: str) -> None:
    """Compares CUDA's first GPU with that of the key.

    Args:
        machine: The GPU that `nvidia-smi` reported.
        name: The name of CUDA's first GPU.
        capability: Its compute capability, for example `8.9`.

    Raises:
        StepError: It is another one.
    """
    if capability != machine["compute_capability"]:
        raise StepError(
            f"CUDA's first GPU is `{name}` of compute capability {capability}; "
            f"`nvidia-smi` told of `{machine['gpu']}` of {machine['compute_capability']}",
            "hide the other GPUs from this machine's users, or order them alike",
        )


def described(machine: dict[str, str]) -> str:
    """The GPU in words."""
    return f"{machine['gpu']} (compute capability {machine['compute_capability']})"
