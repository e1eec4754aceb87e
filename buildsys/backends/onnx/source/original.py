"""Runs a user's ONNX file as it was given: in ONNX Runtime, or by ONNX's reference evaluator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import StepError
from .. import runtime
from . import legacy

FIELD = "source.onnx"
PRELOAD = {"load": ("encodings.cp437", "numpy.ma", "onnx.reference")}


class GlobalMaxPool(OpRun):  # type: ignore[misc]
    """The largest value of each channel; onnx 1.23's own is right for pictures alone."""

    op_domain = ""

    def _run(self, x: NDArray[Any]) -> tuple[NDArray[Any]]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


def evaluator(model: Any, *others: type[Any]) -> Any:
    """ONNX's reference evaluator of a model, with what operators meant in its operator set.

    Args:
        model: The model.
        others: Operators to take in place of the evaluator's own.

    Raises:
        Exception: It has operators that are not known.
    """
    versions = [entry.version for entry in model.opset_import if not entry.domain]
    old = bool(versions) and versions[0] < legacy.LOWEST
    known = [GlobalMaxPool, *others, *(legacy.OPERATORS if old else [])]
    return ReferenceEvaluator(model, new_ops=known)


class Evaluated:
    """A file that ONNX's reference evaluator runs; see `kit.run.measurement.Session`.

    Attributes:
        runtime: Name and version of what runs it.
        refusal: What ONNX Runtime said of the file.
        notes: What is to be said of its runs.
    """

    def __init__(self, path: Path, contract: Contract, refusal: StepError) -> None:
        """Loads a file.

        Raises:
            StepError: It has an operator that the reference evaluator does not know; what is raised is
                the refusal of ONNX Runtime then, which users know.
        """
        self.runtime = f"the reference evaluator of onnx {onnx.__version__}"
        self.refusal = refusal.message
        self.notes = [
            f"the original was run by {self.runtime}, since ONNX Runtime refuses it; that is slow, "
            "and as exact as numpy"
        ]
        try:
            self._evaluator = evaluator(onnx.load(path))
        except Exception as error:
            raise StepError(refusal.message, refusal.hint, FIELD) from error
        self._inputs = [port.artifact_name or port.name for port in contract.inputs]
        self._given = {port.artifact_name or port.name: port.name for port in contract.inputs}
        self._outputs = [port.artifact_name or port.name for port in contract.outputs]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once.

        Raises:
            StepError: An operator of the file is not one of the reference evaluator's.
        """
        fed = {name: np.asarray(feed[self._given[name]]) for name in self._inputs}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found: Any = self._evaluator.run(self._outputs, fed)
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise StepError(
                f"neither ONNX Runtime nor {self.runtime} runs the file: {self.refusal}; {said}",
                "export the model again with a later operator set",
                FIELD,
            ) from error
        return {name: np.asarray(each) for name, each in zip(self._outputs, found, strict=True)}


def load(path: Path, contract: Contract, threads: int) -> runtime.Session | Evaluated:
    """Loads a file for ONNX Runtime, or where that refuses it, for the reference evaluator.

    Raises:
        StepError: Neither takes it.
    """
    try:
        return runtime.load(path, contract, threads)
    except StepError as error:
        return Evaluated(path, contract, error)
