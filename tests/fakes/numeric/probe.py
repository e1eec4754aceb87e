"""Shows what runs of a matrix compute: one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..kit.inspect.probing import Seen, Step
from ..kit.protocol.contract import Contract
from .runtime import Matrix, rows


class Probe:
    """Every run is one product."""

    def __init__(self, matrix: Matrix, inputs: list[str], outputs: list[str]) -> None:
        self._matrix = matrix
        self.runtime = "numpy"
        self.inputs = {name: name for name in inputs}
        self.outputs = {name: name for name in outputs}
        self.steps = [Step(0, "product", "made", tuple(inputs), tuple(outputs), ("matrix",))]

    def run(self, feed: dict[str, Any]) -> Seen:
        given = self._matrix.run(feed)
        return Seen(self.steps, {**feed, **given}, given)


def load(path: Path, contract: Contract, threads: int) -> Probe:
    inputs, outputs = ([p.name for p in ports] for ports in (contract.inputs, contract.outputs))
    return Probe(Matrix(rows(path), contract), inputs, outputs)
