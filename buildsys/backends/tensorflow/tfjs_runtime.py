"""Runs TensorFlow.js models in Node.js, by TensorFlow.js itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.run import javascript

PACKAGE = "@tensorflow/tfjs-core"


class Session:
    """A loaded model; see `kit.run.measurement.Session`."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        what = f"TensorFlow.js {javascript.version(PACKAGE)}"
        script = Path(__file__).with_name("run.mjs")
        arguments = [str(javascript.packages()), str(folder)]
        self._node = javascript.Node(what, script, arguments)
        self._contract = contract
        self.runtime = f"{what} ({self._node.said['backend']})"

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are addressed by the names of the signature."""
        got = self._node.run(
            {
                port.artifact_name or port.name: to_artifact(port, feed[port.name])
                for port in self._contract.inputs
            }
        )
        return {
            port.name: to_model(port, got[port.artifact_name or port.name])
            for port in self._contract.outputs
        }

    def peak_rss(self) -> int:
        """What Node.js took at most, in bytes."""
        return self._node.peak_rss()

    def close(self) -> None:
        """Ends Node.js."""
        self._node.close()


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a model. It runs on one thread, whatever is asked: as in a page.

    Raises:
        StepError: TensorFlow.js refuses it.
    """
    return Session(path, contract)


def dtype(name: str) -> str:
    """What TensorFlow.js makes of a dtype: it has float32, int32 and bool."""
    if name == "bool":
        return name
    return "float32" if np.issubdtype(np.dtype(name), np.floating) else "int32"
