"""Runs TorchScript and ExportedProgram files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ..kit.protocol.archive import kind_of
from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from .files import load as load_file
from .original import model
from .original.outputs import leaves, to_numpy

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""


class Session:
    """A loaded file; see `kit.run.measurement.Session`.

    Attributes:
        runtime: What runs it, in words.
        module: What is in the file.
    """

    def __init__(self, module: Any, contract: Contract) -> None:
        self.runtime = f"torch {torch.__version__}"
        self.module = module
        self._contract = contract

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs are fed by position, which is the recipe's order."""
        fed = [torch.from_numpy(to_artifact(p, feed[p.name]).copy()) for p in self._contract.inputs]
        with torch.inference_mode():
            found = leaves(self.module(*fed))
        outputs = self._contract.outputs
        got = {
            p.name: to_model(p, to_numpy(leaf.tensor))
            for p, leaf in zip(outputs, found, strict=False)
        }
        # What the contract does not know is given as well, for the caller to refuse.
        surplus = found[len(outputs) :]
        return got | {f"out{leaf.path}": to_numpy(leaf.tensor) for leaf in surplus}


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a file of either kind.

    Raises:
        StepError: It does not load.
    """
    model.prepare(threads)
    kind = kind_of(path)
    loaded = load_file(path, kind)
    return Session(loaded if kind == "torchscript" else loaded.module(), contract)
