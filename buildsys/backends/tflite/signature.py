"""A loaded TFLite file, addressed by the names of its signature and never by index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from ..kit.protocol.request import StepError

DEFAULT = "serving_default"
"""The signature that both converters write."""
PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


@dataclass(frozen=True)
class Tensor:
    """One input or output of the signature: its shape and numpy's name of its dtype."""

    shape: tuple[int, ...]
    dtype: str


class Signature:
    """The one signature of a TFLite file, ready to run.

    Attributes:
        inputs: Name to tensor.
        outputs: Name to tensor.
    """

    def __init__(self, model: Path | bytes, threads: int = 1, *, plain: bool = False) -> None:
        """Loads a file, or the bytes of one.

        Args:
            model: The file.
            threads: That it runs on.
            plain: Whether LiteRT's own kernels run it, and no delegate.

        Raises:
            StepError: LiteRT refuses it, or it has no signature.
        """
        try:
            resolver = PLAIN if plain else OpResolverType.AUTO
            if isinstance(model, bytes):
                interpreter = Interpreter(
                    model_content=model, num_threads=threads, experimental_op_resolver_type=resolver
                )
            else:
                interpreter = Interpreter(
                    str(model), num_threads=threads, experimental_op_resolver_type=resolver
                )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise StepError(
                f"LiteRT does not load the file: {' '.join(str(error).split())}"
            ) from error
        if DEFAULT not in interpreter.get_signature_list():
            raise StepError(f"the TFLite file has no signature `{DEFAULT}`")
        self._interpreter = interpreter  # The runner holds no reference of its own.
        self._runner = interpreter.get_signature_runner(DEFAULT)
        self.inputs = _tensors(self._runner.get_input_details())
        self.outputs = _tensors(self._runner.get_output_details())

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once.

        Args:
            feed: Signature name to array, of the file's shape and dtype.

        Raises:
            StepError: LiteRT refuses an input, or fails while it runs.
        """
        try:
            found = self._runner(**feed)
        except (RuntimeError, ValueError) as error:
            raise StepError(
                f"LiteRT does not run the file: {' '.join(str(error).split())}"
            ) from error
        # What the runner gives may be overwritten by the next run.
        return {name: np.array(value) for name, value in found.items()}


def _tensors(details: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    return {
        name: Tensor(tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name)
        for name, detail in details.items()
    }
