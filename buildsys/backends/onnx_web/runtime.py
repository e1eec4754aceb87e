"""Runs packed folders in Node.js, by the onnxruntime-web that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.run import javascript

PACKAGE = "onnxruntime-web"


class Session:
    """A loaded folder; see `kit.run.measurement.Session`.

    Attributes:
        names: `inputs` and `outputs` as the model has them.
    """

    def __init__(self, folder: Path, contract: Contract) -> None:
        what = f"{PACKAGE} {javascript.version(PACKAGE)}"
        script = Path(__file__).with_name("run.mjs")
        self._node = javascript.Node(what, script, [str(folder)])
        self._contract = contract
        self.names: dict[str, list[str]] = self._node.said
        self.runtime = f"{PACKAGE} {self._node.said['version']} (wasm)"

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once; inputs and outputs are addressed by name."""
        fed = {p.name: to_artifact(p, feed[p.name]) for p in self._contract.inputs}
        got = self._node.run(fed)
        return {p.name: to_model(p, got[p.name]) for p in self._contract.outputs}

    def peak_rss(self) -> int:
        """What Node.js took at most, in bytes."""
        return self._node.peak_rss()

    def close(self) -> None:
        """Ends Node.js."""
        self._node.close()


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a folder. It runs on one thread, whatever is asked: as in a page that is not isolated.

    Raises:
        StepError: onnxruntime-web refuses the model.
    """
    return Session(path, contract)
