"""A saved package, ready to be evaluated: what runs it for verification and what shows its tensors share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..kit.protocol.contract import Contract
from ..kit.protocol.request import StepError
from .evaluator.package import Package
from .evaluator.program import Program
from .features import Features


@dataclass(frozen=True)
class Opened:
    """A package on so many threads.

    Attributes:
        runtime: Name and version of what runs it.
        program: Its default function.
        features: Between the model's inputs and outputs and the package's.
    """

    runtime: str
    program: Program
    features: Features


def opened(path: Path, contract: Contract, threads: int) -> Opened:
    """Opens a package.

    Raises:
        StepError: It is damaged, or has operations that are not evaluated.
    """
    torch.set_num_threads(threads)
    package = Package(path)
    program = Program(package, package.default)
    unsupported = program.unsupported()
    if unsupported:
        names = ", ".join(f"`{name}`" for name in unsupported)
        raise StepError(f"the evaluator has no operation {names}, which the package uses")
    return Opened(
        f"modelbuild's evaluator (torch {torch.__version__.partition('+')[0]})",
        program,
        Features(contract, package.description.metadata.userDefined),
    )
