"""Runs packages for verification where Core ML itself cannot run: by the project's own evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from .loading import opened

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
"""What loading a file, and writing arrays after it, import late; see `toolchains/inside/forks.py`."""


class Session:
    """A package that takes and gives what the model does; see `kit.run.measurement.Session`.

    Attributes:
        runtime: Name and version of what runs it.
        notes: What is to be said of the runs so far: values that were not finite, and pictures that no
            app can hand over.
    """

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        package = opened(path, contract, threads)
        self.runtime = package.runtime
        self._program, self._features = package.program, package.features
        self.notes = [str(each) for each in self._program.constant_alarms[:1]]
        self._alarmed = False

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once, each result rounded to its declared type.

        Raises:
            StepError: An input does not fit, or an operation cannot be evaluated.
        """
        found = self._program.run(self._features.given(feed))
        # The first alarm of the first run that has one: their numbers differ from run to run.
        if not self._alarmed:
            self.notes += [str(each) for each in self._program.alarms[:1]]
            self._alarmed = bool(self._program.alarms)
        self.notes += [each for each in self._features.notes if each not in self.notes]
        return self._features.taken(found)

    def unrounded(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once in float32, whatever the program declares: what is left are its graph and weights.

        Raises:
            StepError: As for `run`.
        """
        return self._features.taken(self._program.run(self._features.given(feed), "fp32"))


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a package on so many threads.

    Raises:
        StepError: It is damaged, or has operations that are not evaluated.
    """
    return Session(path, contract, threads)
