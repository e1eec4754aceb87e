"""Runs ORT files in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError

ERRORS_ONLY = 3
PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""


class Session:
    """A loaded file; see `kit.run.measurement.Session`."""

    def __init__(self, session: Any, contract: Contract) -> None:
        self.runtime = f"onnxruntime {onnxruntime.__version__}"
        self.inputs, self.outputs = session.get_inputs(), session.get_outputs()
        self._session = session
        self._contract = contract

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are addressed by name."""
        fed = {
            p.artifact_name or p.name: to_artifact(p, feed[p.name]) for p in self._contract.inputs
        }
        names = [port.artifact_name or port.name for port in self._contract.outputs]
        got = self._session.run(names, fed)
        return {
            port.name: to_model(port, array)
            for port, array in zip(self._contract.outputs, got, strict=True)
        }


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a file as it is: nothing more is optimized, as in a small build.

    Raises:
        StepError: ONNX Runtime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.load_model_format", "ORT")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        version = onnxruntime.__version__
        raise StepError(f"onnxruntime {version} does not load the file: {error}") from error
    return Session(session, contract)
