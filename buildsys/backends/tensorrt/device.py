"""The GPU's memory, and which GPU it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda
from numpy.typing import NDArray

from ..kit.protocol.request import StepError
from . import identity


def check(machine: dict[str, str]) -> None:
    """Sees that the GPU is the one that the key was made for.

    Raises:
        StepError: It is another one, or there is none.
    """
    properties = _done(cuda.cudaGetDeviceProperties(identity.FIRST))
    name = properties.name.decode() if isinstance(properties.name, bytes) else properties.name
    identity.check(machine, name, f"{properties.major}.{properties.minor}")


class Memory:
    """Buffers on the GPU by name, which grow as they must, and a stream.

    Attributes:
        stream: What copies and runs are queued on.
    """

    def __init__(self) -> None:
        self.stream = _done(cuda.cudaStreamCreate())
        self._held: dict[str, tuple[int, int]] = {}

    def of(self, name: str, size: int) -> int:
        """The address of a buffer of at least `size` bytes."""
        address, room = self._held.get(name, (0, -1))
        if room < size:
            if room >= 0:
                _done(cuda.cudaFree(address))
            # TensorRT wants an address for empty tensors too.
            address = int(_done(cuda.cudaMalloc(max(1, size))))
            self._held[name] = (address, size)
        return address

    def put(self, name: str, array: NDArray[Any]) -> int:
        """Copies an array to the GPU; gives its address."""
        address = self.of(name, array.nbytes)
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        _done(cuda.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, self.stream))
        return address

    def get(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Copies a buffer back, when all that was queued has ended."""
        array: NDArray[Any] = np.empty(shape, dtype)
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        address, _ = self._held[name]
        _done(cuda.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, kind, self.stream))
        self.wait()
        return array

    def wait(self) -> None:
        """Waits for all that was queued."""
        _done(cuda.cudaStreamSynchronize(self.stream))


def _done(answer: tuple[Any, ...]) -> Any:
    """What a call gave.

    Raises:
        StepError: CUDA refused it.
    """
    status, *values = answer
    if status != cuda.cudaError_t.cudaSuccess:
        _, text = cuda.cudaGetErrorString(status)
        said = text.decode() if isinstance(text, bytes) else str(text)
        raise StepError(f"CUDA says: {said}", "see that `nvidia-smi` runs and the GPU has memory")
    return values[0] if values else None
