"""Runs engines on the first GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError
from .device import Memory
from .log import Log


class Session:
    """A loaded engine; see `kit.run.measurement.Session`."""

    def __init__(self, loader: Any, engine: Any, contract: Contract, log: Log) -> None:
        self._loader = loader  # Which has to outlive the engine.
        self.runtime = f"tensorrt {trt.__version__}"
        self._engine = engine
        self._context = engine.create_execution_context()
        self._contract = contract
        self._log = log
        self._memory = Memory()
        if self._context is None:
            raise StepError(f"the engine does not fit into the GPU's memory: {log.told()}")

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once, with the time that copies to and from the GPU take.

        Raises:
            StepError: The engine does not take the sizes, or its outputs' sizes follow from values.
        """
        for port in self._contract.inputs:
            name, array = port.artifact_name or port.name, to_artifact(port, feed[port.name])
            if not self._context.set_input_shape(name, array.shape):
                raise StepError(
                    f"the engine does not take `{port.name}` of shape {list(array.shape)}: "
                    f"{self._log.told()}",
                    "engines take the sizes of `dims` alone",
                )
            self._context.set_tensor_address(name, self._memory.put(name, array))
        outputs = {
            port.name: self._prepared(port.artifact_name or port.name)
            for port in self._contract.outputs
        }
        if not self._context.execute_async_v3(int(self._memory.stream)):
            raise StepError(f"the engine does not run: {self._log.told()}")
        return {
            port.name: to_model(
                port, self._memory.get(port.artifact_name or port.name, *outputs[port.name])
            )
            for port in self._contract.outputs
        }

    def _prepared(self, name: str) -> tuple[tuple[int, ...], Any]:
        """Gives an output its memory; its shape and dtype."""
        shape = tuple(self._context.get_tensor_shape(name))
        if min(shape, default=0) < 0:
            raise StepError(
                f"the shape of output `{name}` follows from values: {list(shape)}",
                "return a fixed number of rows",
                "outputs",
            )
        dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._context.set_tensor_address(name, self._memory.of(name, size))
        return shape, dtype


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads an engine; `threads` mean nothing to it.

    Raises:
        StepError: It was built for another GPU or by another TensorRT.
    """
    log = Log()
    loader = trt.Runtime(log)
    engine = loader.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise StepError(
            f"TensorRT {trt.__version__} does not load the engine: {log.told()}",
            "engines run on the GPU model and the TensorRT that they were built with",
        )
    return Session(loader, engine, contract, log)
