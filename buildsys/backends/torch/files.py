"""TorchScript and ExportedProgram files, loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from ..kit.protocol.archive import broken
from ..kit.protocol.cause import first_lines
from ..kit.protocol.request import StepError

WORDS = {"torchscript": "TorchScript", "exported": "ExportedProgram"}


def load(path: Path, kind: str) -> Any:
    """Loads a file of either kind onto the CPU.

    Raises:
        StepError: It does not load.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "torchscript":
                return torch.jit.load(path, map_location="cpu")
            with path.open("rb") as stream:  # torch wants the suffix `.pt2` on paths.
                return torch.export.load(stream)
    except Exception as error:
        raise StepError(
            f"the {WORDS[kind]} file does not load: {broken(path)}: {first_lines(error, 1)}",
            f"this is torch {torch.__version__}; a file of a newer one may need it",
            f"source.{kind}",
        ) from error
