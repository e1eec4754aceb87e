"""Writes the io contract into a finished package or `.mlmodel`: into its user-defined metadata."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..kit.protocol.contract import Contract
from ..kit.protocol.description import KEY, check_read_back, described
from ..kit.protocol.request import Request, StepError
from . import package as packages
from .convert import classes


def describe(request: Request) -> None:
    """Adds the entry `modelbuild.io` and reads it back; program and weights stay as they are.

    Inputs: `artifact`, `io`, and files of labels. Options: see `kit.protocol.description.described`.

    Raises:
        StepError: The labels do not fit the outputs, or are not those of a classifier.
    """
    contract = described(request)
    source, target = request.inputs["artifact"], request.outputs["artifact"]
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    spec = packages.read_spec(target)
    spec.description.metadata.userDefined[KEY] = contract.text()
    packages.spec_file(target).write_bytes(spec.SerializeToString(deterministic=True))
    check_read_back(read(target), contract, "the Core ML model")
    _check_classes(target, contract)
    contract.write(request.outputs["io"])


def read(model: Path) -> str | None:
    """The contract that a package or an `.mlmodel` carries, as text."""
    metadata = packages.read_spec(model).description.metadata.userDefined
    return metadata[KEY] if KEY in metadata else None  # noqa: SIM401 - a protobuf map.


def _check_classes(model: Path, contract: Contract) -> None:
    spec = packages.read_spec(model)
    if spec.description.predictedFeatureName:
        told = next(port.labels for port in contract.outputs if port.kind == "probabilities")
        if classes.written(spec) != told:
            raise StepError("the classifier holds other names of classes than the recipe")
