"""Runs SavedModels by TensorFlow, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from . import saved_model


class Session:
    """A loaded SavedModel; see `kit.run.measurement.Session`."""

    def __init__(self, path: Path, contract: Contract) -> None:
        self.runtime = f"tensorflow {saved_model.VERSION}"
        self._contract = contract
        self._signature = saved_model.Signature(path)

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are addressed by the names of the signature."""
        got = self._signature.run(
            {
                port.artifact_name or port.name: to_artifact(port, feed[port.name])
                for port in self._contract.inputs
            }
        )
        return {
            port.name: to_model(port, got[port.artifact_name or port.name])
            for port in self._contract.outputs
        }


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a SavedModel on so many threads.

    Raises:
        StepError: TensorFlow refuses it.
    """
    saved_model.use_threads(threads)
    return Session(path, contract)
