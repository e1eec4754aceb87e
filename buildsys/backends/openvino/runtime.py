"""Runs OpenVINO models on the CPU, in float32 where they are not quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from . import failures, ir

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""

SETTINGS = {
    # By itself the CPU computes in bfloat16 where it can, which is another result.
    "INFERENCE_PRECISION_HINT": "f32",
    # By itself it quantizes the activations of layers whose weights are int8.
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
}

PLAIN = {"SNIPPETS_MODE": "DISABLE"}
"""Without the kernels that it generates for chains of operations. Those of attention lose digits: in
MobileViT they are off by 1e-4 of the signal, where the others are off by 3e-6."""
ONE_THREAD = 1


class Session:
    """A loaded model; see `kit.run.measurement.Session`."""

    def __init__(self, compiled: Any, contract: Contract, plain: Callable[[], Any]) -> None:
        self.runtime = f"openvino {ov.__version__.partition('-')[0]}"
        self._request = compiled.create_infer_request()
        self._contract = contract
        self._plain: Session | None = None
        self._compile_plain = plain

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are in the recipe's order.

        Raises:
            StepError: The model does not take the sizes.
        """
        fed = [to_artifact(port, feed[port.name]) for port in self._contract.inputs]
        try:
            self._request.infer(fed, share_inputs=False)
        except RuntimeError as error:
            raise failures.of_run(error, fed) from error
        return {
            port.name: to_model(port, np.array(tensor.data))
            for port, tensor in zip(
                self._contract.outputs, self._request.output_tensors, strict=True
            )
        }

    def plain(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once without the kernels that it generates."""
        if self._plain is None:
            self._plain = Session(self._compile_plain(), self._contract, self._compile_plain)
        return self._plain.run(feed)


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a model for the CPU.

    Raises:
        StepError: OpenVINO refuses it.
    """
    core = ov.Core()

    def compiled(**more: str) -> Any:
        settings = {**SETTINGS, "INFERENCE_NUM_THREADS": threads, **more}
        try:
            return core.compile_model(core.read_model(path / ir.XML), "CPU", settings)
        except RuntimeError as error:
            raise failures.of_load(error) from error

    return Session(compiled(), contract, partial(compiled, **PLAIN))
