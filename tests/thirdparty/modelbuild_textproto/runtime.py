"""Runs the text in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from . import text


class Session:
    """A parsed text; see `kit.run.measurement.Session`."""

    def __init__(self, session: Any, contract: Contract) -> None:
        self.runtime = f"text by onnxruntime {onnxruntime.__version__}"
        self._session = session
        self._contract = contract

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are addressed by name."""
        fed = {port.name: to_artifact(port, feed[port.name]) for port in self._contract.inputs}
        names = [port.name for port in self._contract.outputs]
        got = self._session.run(names, fed)
        return {
            port.name: to_model(port, array)
            for port, array in zip(self._contract.outputs, got, strict=True)
        }


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Parses a file for the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = text.read(path).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return Session(session, contract)
