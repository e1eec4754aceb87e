"""Runs ONNX files in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError
from .files import model_file

ERRORS_ONLY = 3
PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""


class Session:
    """A loaded file; see `kit.run.measurement.Session`."""

    def __init__(self, session: Any, contract: Contract) -> None:
        self.runtime = f"onnxruntime {onnxruntime.__version__}"
        self._session = session
        self._contract = contract
        self._names = [output.name for output in session.get_outputs()]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are addressed by name."""
        fed = {
            p.artifact_name or p.name: to_artifact(p, feed[p.name]) for p in self._contract.inputs
        }
        got = dict(zip(self._names, self._session.run(self._names, fed), strict=True))
        for port in self._contract.outputs:
            name = port.artifact_name or port.name
            if name in got:
                got[port.name] = to_model(port, got.pop(name))
        return got


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a file, or the one in a folder with its weights, for the CPU.

    Raises:
        StepError: ONNX Runtime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(
            model_file(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        version = onnxruntime.__version__
        raise StepError(f"onnxruntime {version} does not load the file: {error}") from error
    return Session(session, contract)
