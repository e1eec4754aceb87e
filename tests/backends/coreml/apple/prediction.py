"""Stands in for Core ML in coremltools: `MLModel.predict` and `make_state` by the project's evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools import _deps
from coremltools.models import _compiled_model, model, utils

from buildsys.backends.coreml.evaluator.interface import Feature
from buildsys.backends.coreml.evaluator.program import Program
from buildsys.backends.kit.protocol.request import StepError

VERSION = (15, 4)
"""The macOS that the tests are told of: one that has all that they ask for."""
HALF = 2**-8
"""What results of a program with float16 may be apart from the expected, as a share of the largest: a few
roundings of 2**-11. Apple's own tests take 0.5, whatever the numbers."""


class Executions:
    """What the evaluator did in the test that runs now.

    Attributes:
        count: How many predictions were asked for.
        refused: Why the last one could not be made; empty where it was.
        operations: Types of the operations of the programs that were evaluated.
        half: Whether one of them has values in float16.
        worst: The largest distance that a test compared, as a share of the largest expected number.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the test before."""
        self.count = 0
        self.refused = ""
        self.operations: set[str] = set()
        self.half = False
        self.worst = 0.0


EXECUTIONS = Executions()


class State:
    """What `make_state` gives."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = held


def install() -> None:
    """Puts the evaluator in Core ML's place and tells coremltools that it is on a Mac.

    This comes before the tests are imported: they copy what they ask for.
    """
    _deps._IS_MACOS = True
    for module in (utils, model, _compiled_model):
        for name, value in (("_is_macos", lambda: True), ("_macos_version", lambda: VERSION)):
            if hasattr(module, name):
                setattr(module, name, value)
    ct.models.MLModel.predict = _predict
    ct.models.MLModel.make_state = _make_state
    np.testing.assert_allclose = _compared(np.testing.assert_allclose)


def _predict(self: Any, data: Any, state: State | None = None) -> Any:
    model.MLModel._check_predict_data(data)
    if isinstance(data, list):
        return [_predict(self, each, state) for each in data]
    self._verify_input_dict(data)
    EXECUTIONS.count += 1
    EXECUTIONS.refused = ""
    try:
        program = _program(self)
        fed = {
            each.name: _array(data[each.name], each) for each in program.inputs if each.name in data
        }
        EXECUTIONS.operations |= {step.operation for step in program.steps}
        declared = {each.dtype for step in program.steps for each in step.types}
        declared |= {each.dtype for each in program._types.values()}
        EXECUTIONS.half |= "FLOAT16" in declared | {c.dtype for c in program.constants.values()}
        return program.run(fed, state=None if state is None else state.held)
    except Exception as error:
        EXECUTIONS.refused = error.message if isinstance(error, StepError) else repr(error)
        raise


def _make_state(self: Any) -> State:
    try:
        return State(_program(self).new_state())
    except Exception as error:
        EXECUTIONS.count += 1
        EXECUTIONS.refused = error.message if isinstance(error, StepError) else repr(error)
        raise


def _program(self: Any) -> Program:
    """A model's program, loaded once, from the package on disk."""
    held = getattr(self, "_evaluated", None)
    if held is None:
        if not self.is_package:
            raise StepError("a neural network, which is not evaluated")
        held = self._evaluated = Program.open(Path(self.package_path), self.function_name)
    return held


def _array(given: Any, feature: Feature) -> np.ndarray:
    """What Core ML makes of an input: numbers of the declared type, whatever type they came in."""
    array = np.asarray(given)
    return array if feature.kind == "image" else array.astype(feature.dtype)


def _compared(kept: Any) -> Any:
    """`assert_allclose` with a bound that fits the types of what was evaluated."""

    def assert_allclose(
        actual: Any, desired: Any, rtol: float = 1e-7, atol: float = 0, **more: Any
    ) -> None:
        if EXECUTIONS.count:
            one, other = np.asarray(actual), np.asarray(desired)
            numbers = (
                one.shape == other.shape and one.dtype.kind in "fiub" and other.dtype.kind in "fiub"
            )
            if numbers and other.size:
                one, other = one.astype(np.float64), other.astype(np.float64)
                finite = np.isfinite(one) & np.isfinite(other)
                largest = float(np.abs(other[finite]).max(initial=0.0))
                apart = float(np.abs(one - other)[finite].max(initial=0.0))
                EXECUTIONS.worst = max(EXECUTIONS.worst, apart / largest if largest else apart)
                if EXECUTIONS.half:
                    rtol, atol = HALF, HALF * largest
        kept(actual, desired, rtol=rtol, atol=atol, **more)

    return assert_allclose
