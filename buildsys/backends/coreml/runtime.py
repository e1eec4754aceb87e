"""Runs packages by Core ML itself, through coremltools; on a Mac only."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.request import StepError
from .features import Features
from .libraries import ct

_UNITS = {
    "all": "ALL",
    "cpu_only": "CPU_ONLY",
    "cpu_and_gpu": "CPU_AND_GPU",
    "cpu_and_ne": "CPU_AND_NE",
}


class Session:
    """A package, compiled for this Mac; see `kit.run.measurement.Session`."""

    def __init__(self, path: Path, contract: Contract) -> None:
        self.runtime = (
            f"Core ML of macOS {platform.mac_ver()[0]} (coremltools {version('coremltools')})"
        )
        metadata = ct.utils.load_spec(str(path)).description.metadata.userDefined
        units = _UNITS[metadata.get("modelbuild.compute_units", "all")]
        try:
            self._model = ct.models.MLModel(str(path), compute_units=getattr(ct.ComputeUnit, units))
        except Exception as error:  # Whatever the system says of this package.
            raise StepError(f"Core ML does not load the package: {error}") from error
        self._features = Features(contract, metadata)

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once, on the compute units that the package's metadata name.

        Raises:
            StepError: Core ML refuses an input.
        """
        try:
            found = self._model.predict(self._features.given(feed))
        except RuntimeError as error:
            raise StepError(f"Core ML does not run the package: {error}") from error
        return self._features.taken(found)


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Compiles and loads a package; Core ML chooses its own number of threads.

    Raises:
        StepError: It does not load.
    """
    return Session(path, contract)
