"""Shows every tensor of a package, by the project's own evaluator: as declared, and without rounding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..kit.inspect.probing import Seen
from ..kit.inspect.probing import Step as Told
from ..kit.protocol.contract import Contract
from .evaluator.steps import Step
from .loading import opened

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}


class Probe:
    """A loaded package; see `kit.inspect.probing.Probe`.

    Of what lies in a loop, the last round is shown.
    """

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        package = opened(path, contract, threads)
        self.runtime = package.runtime
        self._program, self._features = package.program, package.features
        self.inputs = {p.name: p.artifact_name or p.name for p in contract.inputs}
        self.outputs = {p.name: p.artifact_name or p.name for p in contract.outputs}
        self.steps = [_told(step) for step in self._program.steps]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Seen:
        """Runs twice: rounded as declared, and not at all."""
        given = self._features.given(feed)
        values: dict[str, NDArray[Any]] = dict(given)
        found = self._program.run(given, "typed", observe=self._into(values))
        unrounded = {
            alarm.output: max(abs(alarm.low), abs(alarm.high))
            for alarm in self._program.alarms
            if alarm.overflow
        }
        exact: dict[str, NDArray[Any]] = {}
        self._program.run(given, "fp32", observe=self._into(exact))
        outputs = {n: a for n, a in self._features.taken(found).items() if hasattr(a, "dtype")}
        return Seen(self.steps, values, outputs, exact, unrounded)

    @staticmethod
    def _into(values: dict[str, NDArray[Any]]) -> Any:
        def observe(step: Step, results: tuple[Any, ...]) -> None:
            for name, result in zip(step.outputs, results, strict=True):
                if isinstance(result, torch.Tensor):
                    values[name] = np.array(result.numpy())

        return observe


def _told(step: Step) -> Told:
    constants = set(step.constants)
    given = [name for names in step.inputs.values() for name in names if name]
    return Told(
        step.number,
        step.operation,
        step.outputs[0] if step.outputs else step.operation,
        tuple(name for name in given if name not in constants),
        step.outputs,
        tuple(name for name in given if name in constants),
    )


def load(path: Path, contract: Contract, threads: int) -> Probe:
    """Loads a package.

    Raises:
        StepError: It is damaged, or has operations that are not evaluated.
    """
    return Probe(path, contract, threads)
