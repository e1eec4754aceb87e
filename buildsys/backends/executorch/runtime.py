"""Runs .pte files for verification and benchmarks, by ExecuTorch's own runtime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError
from .file import File

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""


class Session:
    """A loaded file; see `kit.run.measurement.Session`."""

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        self.runtime = f"executorch {version('executorch')}"
        self._file = File(path.read_bytes(), threads)
        self._contract = contract

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; a .pte file has no names, and the recipe's order is its own.

        Raises:
            StepError: The runtime refuses an input, or gives another number of outputs.
        """
        inputs, outputs = self._contract.inputs, self._contract.outputs
        found = self._file.run(
            [torch.from_numpy(to_artifact(p, feed[p.name]).copy()) for p in inputs]
        )
        if len(found) != len(outputs):
            raise StepError(
                f"the file gives {len(found)} outputs, the recipe names {len(outputs)}",
                field="outputs",
            )
        return {p.name: to_model(p, t.numpy()) for p, t in zip(outputs, found, strict=True)}


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a file on so many threads.

    Raises:
        StepError: It does not load.
    """
    return Session(path, contract, threads)
