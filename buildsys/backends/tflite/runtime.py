"""Runs TFLite files for verification and benchmarks, by LiteRT's own interpreter."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kit.protocol import ports
from ..kit.protocol.contract import Contract
from .signature import Signature

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""


class Session:
    """A TFLite file that takes and gives what the model does.

    Attributes:
        runtime: Name and version of what runs it.
    """

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        self.runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        self._contract = contract
        self._signature = Signature(path, threads)
        self._plain: Signature | None = None
        self._load_plain = partial(Signature, path, threads, plain=True)

    def run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once.

        Args:
            feed: Recipe name to array in the model's layout.

        Returns:
            Recipe name to array in the model's layout, with the artifact's dtype.
        """
        return self._run(self._signature, feed)

    def plain(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once without XNNPACK."""
        self._plain = self._plain or self._load_plain()
        return self._run(self._plain, feed)

    def _run(self, signature: Signature, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        found = signature.run(
            {
                port.artifact_name or port.name: ports.to_artifact(port, feed[port.name])
                for port in self._contract.inputs
            }
        )
        return {
            port.name: ports.to_model(port, found[port.artifact_name or port.name])
            for port in self._contract.outputs
        }


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a file on so many threads, with the delegate that LiteRT applies by default (XNNPACK)."""
    return Session(path, contract, threads)
