"""The model in ONNX Runtime."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from . import model_file
from .settings import Interface, Settings

ERRORS_ONLY = 3


class Model:
    """The loaded file. One request is computed at a time; more processes are the way to more.

    Raises:
        Unusable: The file is missing, unreadable, or not the one that this service was made with.
    """

    def __init__(self, settings: Settings, interface: Interface) -> None:
        data = model_file.read(interface)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = ERRORS_ONLY
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(data, options, providers=providers)
        self._interface = interface
        self._alone = threading.Lock()

    def run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs by the recipe's names, with the model's axes."""
        inputs, outputs = self._interface.inputs, self._interface.outputs
        fed = {_own(port): _permuted(feed[port["name"]], port, False) for port in inputs}
        with self._alone:
            got = self._session.run([_own(port) for port in outputs], fed)
        return {
            port["name"]: _permuted(array, port, True)
            for port, array in zip(outputs, got, strict=True)
        }


def _own(port: dict[str, Any]) -> str:
    name: str = port.get("artifact_name") or port["name"]
    return name


def _permuted(array: NDArray[Any], port: dict[str, Any], back: bool) -> NDArray[Any]:
    order = port.get("permutation")
    if order is None:
        return array
    return np.asarray(array.transpose(np.argsort(order) if back else order), order="C")
