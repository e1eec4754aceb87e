"""Runs .ptl files by torch's own loader of PyTorch Mobile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.jit import mobile

from ...kit.protocol.cause import first_lines
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import StepError
from ..original import model
from ..runtime import PRELOAD, Session

__all__ = ["PRELOAD", "load"]


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a .ptl file.

    Raises:
        StepError: It does not load.
    """
    model.prepare(threads)
    return Session(_load(path), contract)


def _load(path: Path) -> Any:
    try:
        return mobile._load_for_lite_interpreter(str(path))
    except RuntimeError as error:
        said = first_lines(error, 1)
        raise StepError(f"torch's mobile loader does not load the file: {said}") from error
